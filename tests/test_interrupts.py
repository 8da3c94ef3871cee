"""A Ctrl-C that arrives where exceptions are forgotten still ends the job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mgm_jax.interrupts import Stopped, remember_interrupts, stop_if_asked, stoppable
from mgm_jax.progress import Bar
from tests.launch import ROOT


@pytest.fixture(autouse=True)
def usual_handler() -> Iterator[None]:
    """As a program finds them, whatever a shell, nohup or a library made of them for the suite."""
    usual = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Forgetful:
    """Its finaliser is where the signal arrives: Python prints the exception and goes on."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_a_finaliser_swallows_ends_the_job_at_its_next_step():
    bar, steps = Bar(total=10), []
    with pytest.raises(KeyboardInterrupt), remember_interrupts():
        for step in range(10):
            if step == 3:
                gone = Forgetful()
                del gone
            steps.append(step)
            bar.advance()
    assert steps == [0, 1, 2, 3]
    # The next job starts afresh.
    stop_if_asked()
    bar.advance()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_is_raised_at_once_where_it_can_be():
    with pytest.raises(KeyboardInterrupt), remember_interrupts():
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the signal was not raised")


def test_handlers_of_others_stay_and_so_do_other_threads():
    heard = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        with remember_interrupts():
            signal.raise_signal(signal.SIGINT)
            stop_if_asked()
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]

    failures = []

    def work() -> None:
        try:
            with remember_interrupts():
                stop_if_asked()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failures == []


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_ends_a_body_with_one_line_and_its_status(name: str, status: int, capsys) -> None:
    before = signal.getsignal(signal.Signals[name])
    with pytest.raises(SystemExit) as end, stoppable():
        signal.raise_signal(signal.Signals[name])
    assert end.value.code == status
    said = "stopped" if name == "SIGINT" else f"stopped by {name}"
    assert capsys.readouterr().err == f"{said}; the same command goes on from here\n"
    assert signal.getsignal(signal.Signals[name]) is before


def test_an_error_after_a_signal_is_the_end_that_was_asked_for() -> None:
    def interrupted() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            # As a library that is loading: what stopped it comes out as something else.
            raise ImportError("cannot import name") from None

    with pytest.raises(Stopped) as caught, remember_interrupts():
        interrupted()
    assert caught.value.number == signal.SIGINT
    with pytest.raises(ImportError), remember_interrupts():
        raise ImportError("of its own")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks at what is loaded")
def test_a_program_that_is_starting_leaves_at_once(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text("encoders: [{source: conv4}]\nimages: [{source: digits}]\n")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mgm_jax", "run", str(study), "-o", str(tmp_path / "out")]
    # Told by what it has loaded: the handlers stand before any of it.
    moments = ((signal.SIGINT, "numpy"), (signal.SIGTERM, "jaxlib"), (signal.SIGHUP, "jaxlib"))
    programs = []
    for number, loaded in moments:
        program = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        programs.append((program, number))
        maps, last = Path(f"/proc/{program.pid}/maps"), time.monotonic() + 60
        while loaded not in maps.read_text() and time.monotonic() < last:
            time.sleep(0.01)
        program.send_signal(number)
    for program, number in programs:
        error = program.communicate(timeout=60)[1]
        assert program.returncode == 128 + number, error
        assert error.count("goes on from here") == 1 and "Traceback" not in error
