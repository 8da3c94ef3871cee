"""What the start of many processes refuses, and the division of work where there is one."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mgm_jax.errors import InputError
from mgm_jax.parallel.devices import default_mesh
from mgm_jax.parallel.processes import complete, from_all_processes, own_share, start_processes
from tests.launch import free_port, run


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"coordinator": "node:1"}, "got no count, index"),
        ({"count": 2, "index": 1}, "got no coordinator"),
        ({"coordinator": "node", "count": 2, "index": 1}, "host:port; got 'node'"),
        ({"coordinator": "node:x", "count": 2, "index": 1}, "host:port"),
        ({"coordinator": "node:70000", "count": 2, "index": 1}, "host:port"),
        ({"coordinator": "node:1", "count": 0, "index": 0}, "count must be at least 1; got 0"),
        ({"coordinator": "node:1", "count": 2, "index": 2}, "0 to 1 for 2 processes; got 2"),
        ({"coordinator": "node:1", "count": 2, "index": -1}, "0 to 1 for 2 processes; got -1"),
        ({"timeout": 0}, "at least 1 second; got 0"),
    ],
)
def test_impossible_options_are_named(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        start_processes(**options)


def test_no_cluster_and_no_coordinator_are_said() -> None:
    nobody = f"127.0.0.1:{free_port()}"
    # In a process of its own: a test before this one may have used JAX already.
    no_cluster, no_coordinator = run("tests.parallel.refused_starts", nobody, devices=1)[
        0
    ].splitlines()
    assert "found no cluster" in no_cluster
    assert "Pass coordinator, count and index" in no_cluster
    assert f"No coordinator answers at {nobody} within 1 s" in no_coordinator


def test_jax_in_use_is_said() -> None:
    assert jax.devices()
    with pytest.raises(InputError, match="Call it first"):
        start_processes(coordinator=f"127.0.0.1:{free_port()}", count=1, index=0, timeout=1)


def test_one_process_has_all_the_work() -> None:
    mesh = default_mesh()
    assert own_share([1, 2, 3], mesh) == [1, 2, 3]
    column = np.arange(3.0)
    complete([column], np.arange(3), mesh)
    np.testing.assert_array_equal(column, np.arange(3.0))
    np.testing.assert_array_equal(from_all_processes(column, None)[0], column)
