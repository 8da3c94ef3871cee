"""Threads have cores of their own for the time of a call, and all of them afterwards."""

from __future__ import annotations

import os
import threading

import pytest

from mgm_jax.geometry.backend.cores import cores_apart

affinity = getattr(os, "sched_getaffinity", None)


@pytest.mark.skipif(
    affinity is None or len(affinity(0)) < 2, reason="a system that tells, and two cores"
)
def test_threads_have_cores_of_their_own_for_a_while() -> None:
    assert affinity is not None
    started, done = threading.Event(), threading.Event()
    ids: list[int] = []

    def wait() -> None:
        ids.append(threading.get_native_id())
        started.set()
        done.wait(timeout=60)

    other = threading.Thread(target=wait)
    other.start()
    started.wait(timeout=60)
    before = affinity(0)
    try:
        with pytest.raises(ArithmeticError), cores_apart(ids):
            assert affinity(0) | affinity(ids[0]) == before
            assert not affinity(0) & affinity(ids[0])
            raise ArithmeticError
        assert affinity(0) == affinity(ids[0]) == before
        with cores_apart(ids * len(before)):
            # Too many for a core each.
            assert affinity(0) == affinity(ids[0]) == before
    finally:
        done.set()
        other.join()
    with cores_apart(ids):
        # One that has ended is no matter.
        pass
    assert affinity(0) == before
