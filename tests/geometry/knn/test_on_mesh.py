"""Eight simulated devices and one device make the same graph."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

SCRIPT = """
import warnings
import jax
import numpy as np
from mgm_jax.parallel.devices import default_mesh, pad_rows, shard_rows
from mgm_jax.geometry.knn import in_groups as knn_grouped
from mgm_jax.geometry.knn.graph import knn_graph
from tests.geometry.neighbour_oracle import clouds, nearest

warnings.simplefilter("ignore")
mesh = default_mesh()
assert mesh.size == 8, mesh
for kind, metric, precision in {cases}:
    x = clouds()[kind]
    groups = np.random.default_rng(0).integers(0, 3, len(x)) if {grouped} else None
    graph = knn_graph(
        x, k=4, metric=metric, precision=precision, groups=groups, devices=mesh, tile_rows=8
    )
    indices, distances = nearest(x, k=4, metric=metric, groups=groups)
    np.testing.assert_array_equal(graph.indices, indices, err_msg=kind)
    np.testing.assert_allclose(graph.distances, distances, rtol=2.0**-23, err_msg=kind)
    if kind == "all at one distance" and groups is None:
        assert not graph.certified.any()
if not {grouped}:
    x = clouds()["post-ReLU features"]
    spread = shard_rows(x, mesh)
    graph = knn_graph(spread, k=4)
    np.testing.assert_array_equal(graph.indices, nearest(x, k=4, metric="cosine")[0])
    knn_grouped._LARGE_GROUP = 40
    halves = np.arange(len(x)) % 2
    graph = knn_graph(x, k=4, groups=halves, devices=mesh)
    np.testing.assert_array_equal(
        graph.indices, nearest(x, k=4, metric="cosine", groups=halves)[0]
    )
    base = knn_graph(x[:30], k=4, base=spread, devices=mesh)
    np.testing.assert_array_equal(
        base.indices, nearest(x[:30], k=4, metric="cosine", base=x)[0]
    )
print("same")
"""


@pytest.mark.parametrize(
    ("grouped", "cases"),
    [
        (
            False,
            [
                ("views of few images", "cosine", "bfloat16"),
                ("lattice", "sqeuclidean", "float32"),
                ("all at one distance", "cosine", "float32"),
                ("repeated rows", "cosine", "bfloat16"),
            ],
        ),
        (
            True,
            [
                ("post-ReLU features", "cosine", "float32"),
                ("repeated rows", "euclidean", "float32"),
            ],
        ),
    ],
)
def test_eight_devices_agree_with_plain_numpy(grouped: bool, cases: list) -> None:
    environment = dict(
        os.environ,
        JAX_PLATFORMS="cpu",
        XLA_FLAGS="--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0",
        PYTHONPATH=str(ROOT),
    )
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(cases=cases, grouped=grouped)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "same", done.stderr
