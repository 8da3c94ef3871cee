"""Libraries of linear algebra are held to one thread, also one that is loaded only later."""

from __future__ import annotations

import subprocess
import sys

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
