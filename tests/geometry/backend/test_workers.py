"""Libraries of linear algebra are held to one thread, also one that is loaded only later."""

from __future__ import annotations

import subprocess
import sys

import threadpoolctl

from mgm_jax.geometry.backend.workers import one_thread_a_product

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
    def threads() -> set[int]:
        found = threadpoolctl.threadpool_info()
        return {one["num_threads"] for one in found if one["user_api"] == "blas"}

    with one_thread_a_product():
        pass  # SciPy's library is there from now on.
    with threadpoolctl.threadpool_limits(3, user_api="blas"):
        first, second = one_thread_a_product(), one_thread_a_product()
        first.__enter__()
        second.__enter__()
        # The one that came first goes first, as threads do.
        first.__exit__(None, None, None)
        assert threads() == {1}
        second.__exit__(None, None, None)
        assert threads() == {3}
