"""Progress of a long job: share done, rate and time left on a terminal, nothing in a pipe."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from mgm_jax.interrupts import stop_if_asked

# Held by the bar on the screen: a job within a job, in this thread or another, stays silent.
_SCREEN = threading.Lock()

# Seconds without a word of what is going on.
_SILENT = 1.0

# Seconds that a rate looks back: chunks are slow and come in bursts.
_WINDOW = 120.0


class Bar:
    """Counts finished units; the terminal part is replaced by subclasses."""

    def __init__(self, *, total: int) -> None:
        self.total = total
        self.done = 0

    def advance(self, units: int = 1) -> None:
        """Report ``units`` more as finished.

        Raises:
            KeyboardInterrupt: a Ctrl-C came since, and was swallowed where it was raised.
        """
        self.done += units
        stop_if_asked()

    def advance_to(self, done: int) -> None:
        """Report that ``done`` units are finished in all; nothing where they were before."""
        if done > self.done:
            self.advance(done - self.done)

    def describe(self, text: str) -> None:
        """Replace the text before the bar."""


@contextmanager
def progress(
    label: str, *, total: int, unit: str = "item", compiles: bool = False
) -> Iterator[Bar]:
    """Show a bar with rate and time left while the body runs.

    Args:
        label: what is being done, one or two words.
        total: number of units the whole job has.
        unit: name of one unit, singular; the rate reads ``unit/s``.
        compiles: whether the body begins with compiling: where a second has passed and no unit is
            finished, the terminal says so. A job of no units has no bar, only that word.

    On anything but a terminal the bar is silent, so logs and pipes stay clean; so is a bar within
    the body of another.

    >>> with progress("count", total=3) as bar:
    ...     bar.advance(3)
    """
    silent = total <= 0 and not compiles
    if silent or not sys.stderr.isatty() or not _SCREEN.acquire(blocking=False):
        yield Bar(total=total)
        return
    try:
        if total <= 0:
            with _word_after_a_second(label):
                yield Bar(total=total)
            return
        with _terminal_bar(label, total=total, unit=unit, compiles=compiles) as bar:
            yield bar
    finally:
        _SCREEN.release()


@contextmanager
def _word_after_a_second(label: str) -> Iterator[None]:
    """Say that it is compiling where the body takes longer than a second; leave nothing."""
    words, said = f"{label}: compiling ...", threading.Event()

    def say() -> None:
        said.set()
        sys.stderr.write(words)
        sys.stderr.flush()

    timer = threading.Timer(_SILENT, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if said.is_set():
            sys.stderr.write("\r" + " " * len(words) + "\r")
            sys.stderr.flush()


@contextmanager
def _terminal_bar(label: str, *, total: int, unit: str, compiles: bool) -> Iterator[Bar]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.text import Text

    recent = deque([(time.monotonic(), 0)])

    def speed() -> float:
        start, done = recent[0]
        return (recent[-1][1] - done) / max(time.monotonic() - start, 1e-3)

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            rate = speed()
            shown = "–" if not rate else (f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}")
            return Text(f"{shown} {unit}/s", style="cyan")

    class TimeLeft(ProgressColumn):
        def render(self, task: Task) -> Text:
            rate = speed()
            if not rate:
                return Text("–", style="cyan")
            seconds = round((total - task.completed) / rate)
            return Text(str(timedelta(seconds=max(seconds, 0))), style="cyan")

    class TerminalBar(Bar):
        text = label

        def advance(self, units: int = 1) -> None:
            super().advance(units)
            if self.done == units:
                waiting.cancel()
                display.update(task, description=self.text)
            now = time.monotonic()
            recent.append((now, self.done))
            while len(recent) > 2 and recent[1][0] < now - _WINDOW:
                recent.popleft()
            display.advance(task, units)

        def describe(self, text: str) -> None:
            self.text = text
            display.update(task, description=text)

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeLeft(),
        console=Console(stderr=True),
    ) as display:
        task = display.add_task(label, total=total)
        bar = TerminalBar(total=total)
        waiting = threading.Timer(
            _SILENT, lambda: display.update(task, description=f"{bar.text} (compiling)")
        )
        waiting.daemon = True
        if compiles:
            waiting.start()
        try:
            yield bar
        finally:
            waiting.cancel()
