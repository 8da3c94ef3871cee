"""Threads are kept between calls and held to one product each, whoever asks and in what order."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import threadpoolctl

from mgm_jax.geometry.backend.workers import in_order, in_stages, one_thread_a_product, threads

_AFTER_A_FORK = """
import os
from mgm_jax.geometry.backend.workers import in_order
calls = [lambda i=i: i * i for i in range(8)]
expected = list(in_order(calls, workers=3))
child = os.fork()
if not child:
    os._exit(0 if list(in_order(calls, workers=3)) == expected else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

_IN_A_NEW_PROCESS = """
import threadpoolctl
from mgm_jax.geometry.backend.workers import one_thread_a_product
with one_thread_a_product():
    import scipy.linalg
    found = [one for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"]
    assert len(found) >= 2, found
    assert all(one["num_threads"] == 1 for one in found), found
"""


def test_scipy_keeps_one_thread_though_it_is_first_used_within() -> None:
    subprocess.run([sys.executable, "-c", _IN_A_NEW_PROCESS], check=True)


def test_callers_side_by_side_leave_what_they_found() -> None:
    def numbers() -> set[int]:
        blas = [one for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"]
        # PyTorch and others bring libraries of their own, which are none of ours to hold back.
        ours = [
            one for one in blas if {"numpy.libs", "scipy.libs"} & set(Path(one["filepath"]).parts)
        ]
        return {one["num_threads"] for one in ours or blas}

    with one_thread_a_product():
        pass  # SciPy's library is there from now on.
    with threadpoolctl.threadpool_limits(3, user_api="blas"):
        first, second = one_thread_a_product(), one_thread_a_product()
        first.__enter__()
        second.__enter__()
        # The one that came first goes first, as threads do.
        first.__exit__(None, None, None)
        assert numbers() == {1}
        second.__exit__(None, None, None)
        assert numbers() == {3}


def _numbers(workers: int) -> set[int]:
    """Numbers of the threads that make some calls, each of which waits until all are at work."""
    together = threading.Barrier(workers)

    def number() -> int:
        together.wait(timeout=60)
        return threading.get_ident()

    return set(in_order([number] * workers, workers=workers))


def test_threads_stay_for_the_next_call() -> None:
    first = _numbers(3)
    assert len(first) == 3
    assert _numbers(3) == first


def test_calls_within_calls_have_threads_of_their_own() -> None:
    inner = in_order([lambda: _numbers(2)] * 4, workers=2)
    assert [len(numbers) for numbers in inner] == [2] * 4


def test_an_error_arrives_when_nobody_is_at_work() -> None:
    begun, ended = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        time.sleep(0.05)
        ended.set()

    def fails() -> None:
        begun.wait(timeout=60)
        raise ArithmeticError("no")

    with pytest.raises(ArithmeticError, match="no"):
        list(in_order([fails, slow], workers=2))
    assert ended.is_set()
    with pytest.raises(ArithmeticError, match="no"), threads(2) as pool:
        pool.submit(slow)
        raise ArithmeticError("no")
    assert len(_numbers(2)) == 2


def test_a_forked_process_starts_threads_of_its_own() -> None:
    subprocess.run([sys.executable, "-c", _AFTER_A_FORK], check=True, timeout=120)


def test_a_stage_waits_for_the_one_before() -> None:
    made: list[int] = []
    begun = threading.Barrier(3)

    def first() -> None:
        begun.wait(timeout=60)
        time.sleep(0.01)
        made.append(0)

    in_stages([[first] * 3, [lambda: made.append(1)] * 5, []], workers=3)
    assert made == [0] * 3 + [1] * 5


def test_an_error_of_a_stage_ends_all_of_them() -> None:
    made: list[int] = []

    def fails() -> None:
        raise ArithmeticError("no")

    for calls in ([fails, lambda: None], [lambda: time.sleep(0.01), fails]):
        with pytest.raises(ArithmeticError, match="no"):
            in_stages([calls, [lambda: made.append(1)] * 2], workers=2)
    assert not made
    in_stages([[lambda: made.append(1)] * 2], workers=2)
    assert made == [1, 1]
