"""A Ctrl-C that arrives where exceptions are forgotten still ends the job."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from mgm_jax.interrupts import remember_interrupts, stop_if_asked
from mgm_jax.progress import Bar


@pytest.fixture(autouse=True)
def usual_handler() -> Iterator[None]:
    """A suite that a shell started in the background would ignore the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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
