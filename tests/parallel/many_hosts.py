"""What ``test_many_hosts`` runs in every process: joins the others, then makes its checks."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax
import numpy as np

from mgm_jax import knn_graph, linear_probe, manifold_metrics, nnk_graph
from mgm_jax.errors import InputError
from mgm_jax.geometry.nnk import graph as nnk_module
from mgm_jax.parallel.devices import default_mesh, fetch, fetch_rows, join_rows, shard_rows
from mgm_jax.parallel.processes import complete, from_all_processes, own_share, start_processes
from mgm_jax.sweep.plan.cells import Failure
from mgm_jax.sweep.run.executors.across import ProcessesExecutor
from tests.embeddings.many_devices import fill
from tests.geometry.many_devices import as_an_accelerator, classes_of_features
from tests.geometry.neighbour_oracle import clouds, nearest
from tests.launch import make_checks


def refused(call: Callable[[], Any], words: str) -> None:
    try:
        call()
    except InputError as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"not refused: {words}")


def one_in_all(*arrays: np.ndarray) -> bool:
    """Whether this process is to compare what all of them hold, once they hold the same.

    What one process says alone is compiled anew in each that asks, and need be known to one.
    """
    content = b"".join(np.ascontiguousarray(one).tobytes() for one in arrays)
    mine = np.frombuffer(hashlib.sha256(content).digest(), np.uint8)
    for other in from_all_processes(mine, default_mesh()):
        np.testing.assert_array_equal(other, mine)
    return jax.process_index() == 0


def my_part(x: np.ndarray) -> np.ndarray:
    size = len(x) // jax.process_count()
    return x[jax.process_index() * size :][:size]


def exchange() -> None:
    """Arrays spread, fetched and put together."""
    mesh, index = default_mesh(), jax.process_index()
    assert mesh.is_multi_process and mesh.size == jax.device_count() == 2 * jax.process_count()
    x = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
    joined = join_rows(my_part(x), mesh)
    for spread in (joined, shard_rows(x, mesh), shard_rows(x[:20], mesh, share=6)):
        whole = fetch(spread)
        np.testing.assert_array_equal(whole[:20], x[:20])
        np.testing.assert_array_equal(fetch_rows(spread, np.array([7, 0, 19])), x[[7, 0, 19]])
    assert not fetch(shard_rows(x[:20], mesh, share=6))[20:].any()
    refused(lambda: join_rows(x[: 4 + 2 * index], mesh), "equally many rows")
    refused(lambda: shard_rows(joined, default_mesh(mesh.devices[::-1])), "join_rows")
    refused(lambda: start_processes(), "call start_processes once")
    items = list(range(7))
    mine = own_share(items, mesh)
    column = np.full(7, np.pi)
    column[mine] = np.sqrt(mine)
    complete([column], np.array(mine), mesh)
    np.testing.assert_array_equal(column, np.sqrt(items))
    parts = from_all_processes(np.arange(3 * index, dtype=np.float64) / 3, mesh)
    assert [part.size for part in parts] == [3 * i for i in range(jax.process_count())]


def failures() -> None:
    """All processes of a study end with what process 0 has found."""
    index = jax.process_index()
    own = Failure(images="digits", where="3", what=f"process {index}", is_image=True)
    ours = ProcessesExecutor().of_writer([own] * (2 - index))
    assert ours == [replace(own, what="process 0")] * 2


def neighbours() -> None:
    """The k-NN graph of points on every host, and of points that no host has all of."""
    mesh = default_mesh()
    # Of a lattice every row falls back.
    x, metric, options = clouds()["lattice"], "sqeuclidean", {"precision": "float32"}
    joined = join_rows(my_part(x), mesh)
    indices, distances = nearest(x, k=4, metric=metric)
    for points in (x, joined):
        graph = knn_graph(points, k=4, metric=metric, devices=mesh, **options)
        np.testing.assert_array_equal(graph.indices, indices)
        np.testing.assert_array_equal(graph.distances, distances)
    queries = clouds()["post-ReLU features"][:31]
    graph = knn_graph(queries, k=4, metric=metric, base=joined, devices=mesh, **options)
    expected = nearest(queries, k=4, metric=metric, base=x)[0]
    np.testing.assert_array_equal(graph.indices, expected)
    bad = x.copy()
    bad[50, 0] = np.nan
    refused(lambda: knn_graph(join_rows(my_part(bad), mesh), k=4), "1 rows with NaN (rows 50)")


def in_buckets() -> None:
    """The same, scanned and ranked as accelerators without float64 do it."""
    x, mesh = classes_of_features()[1], default_mesh()
    queries = x[::109]
    with as_an_accelerator("pairs", "xla"):
        graph = knn_graph(queries, k=8, base=x, precision="bfloat16", devices=mesh)
    indices, distances = nearest(queries, k=8, metric="cosine", base=x)
    np.testing.assert_array_equal(graph.indices, indices)
    np.testing.assert_array_equal(graph.distances, distances)
    assert graph.certified.mean() > 0.95, graph


def arrays_of(result: Any) -> dict[str, np.ndarray]:
    values = {field.name: getattr(result, field.name) for field in fields(result)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


@patch.object(nnk_module, "GRAM_LIMIT", 40)
def groups() -> None:
    """What is measured within groups, and in one large group, is what one process measures."""
    mesh = default_mesh()
    x = np.random.default_rng(1).normal(size=(280, 8)).astype(np.float32)
    labels = np.where(np.arange(280) < 270, -1, np.arange(280) // 5)
    for function, points, partition in (
        (knn_graph, x, np.arange(280) % 3),
        (nnk_graph, x[:72], None),
        (manifold_metrics, x, labels),
    ):
        results = [
            arrays_of(function(one, k=4, groups=partition, devices=mesh))
            for one in (points, join_rows(my_part(points), mesh))
        ]
        if one_in_all(*(array for result in results for array in result.values())):
            expected = arrays_of(function(points, k=4, groups=partition))
            for result in results:
                for name, array in expected.items():
                    np.testing.assert_array_equal(result[name], array, err_msg=name)


def probes() -> None:
    """The linear probe of features on every host, of such that no host has all of, and read."""
    mesh = default_mesh()
    rng = np.random.default_rng(0)
    labels = np.arange(68) % 3
    x = (rng.normal(size=(68, 5)) + labels[:, None]).astype(np.float32)
    test = x[:20], labels[:20]
    options = {"l2_penalties": [1.0, 100.0]}
    joined = join_rows(my_part(x), mesh)
    results = [
        linear_probe((points, labels), test, test, **options, **more, devices=mesh)
        for points, more in ((x, {}), (joined, {}), (x, {"memory_limit": 0, "block_rows": 30}))
    ]
    kept = [np.hstack([one.objective, one.l2_penalty, one.score]) for one in results]
    if one_in_all(*kept):
        alone = linear_probe((x, labels), test, test, **options)
        for one in results:
            np.testing.assert_allclose(one.objective, alone.objective, rtol=1e-5)
            assert one.l2_penalty == alone.l2_penalty and one.score == alone.score


def embeddings() -> None:
    """Each process computes chunks of its own; all see the store that one process makes."""
    shared = Path(os.environ["TEST_FOLDER"])
    results = {
        name: store.read()
        for name, store in fill(shared / "together", default_mesh(), names=("conv4",)).items()
    }
    if one_in_all(*results.values()):
        for name, store in fill(shared / "alone", None, names=("conv4",)).items():
            np.testing.assert_array_equal(results[name], store.read(), err_msg=name)


if __name__ == "__main__":
    given = {name: os.environ.get(f"TEST_{name.upper()}") for name in ("count", "index")}
    ours = start_processes(
        coordinator=os.environ.get("TEST_COORDINATOR"),
        **{name: None if value is None else int(value) for name, value in given.items()},
        timeout=100,
    )
    assert ours == (jax.process_index(), jax.process_count()) and ours.count == 2
    time.sleep(float(os.environ.get("TEST_LATE", "0")))
    nightly = (in_buckets,) if in_buckets.__name__ in sys.argv else ()
    make_checks(exchange, failures, neighbours, groups, probes, embeddings, *nightly)
