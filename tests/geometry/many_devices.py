"""What ``test_many_devices`` asks of eight simulated devices."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from typing import Any
from unittest.mock import patch

import jax
import numpy as np

from benchmarks.measuring.ring_cost import ring_cost
from benchmarks.scaling import measure
from mgm_jax import knn_graph, manifold_metrics, nnk_graph
from mgm_jax.geometry.backend.wide import arithmetic
from mgm_jax.geometry.knn import buckets, in_groups
from mgm_jax.geometry.knn.mesh import ring, ring_buckets, ring_fallback
from mgm_jax.geometry.local.affinity import null_partners
from mgm_jax.geometry.nnk import graph as nnk_module
from mgm_jax.geometry.nnk.candidates import nearest_in_cloud_of
from mgm_jax.metrics import large_groups, manifold
from mgm_jax.metrics.in_pairs import large_groups as large_in_pairs
from mgm_jax.metrics.in_pairs.large_groups import measure_in_three_programs
from mgm_jax.metrics.options import Options
from mgm_jax.parallel.devices import default_mesh, fetch_rows, shard_rows
from mgm_jax.parallel.ring import take_rows
from tests.geometry.neighbour_oracle import clouds, nearest
from tests.launch import make_checks

# One device takes another way: it is what the others are compared with.
DEVICES = (3, 8)


def meshes() -> list:
    return [default_mesh(jax.devices()[:count]) for count in DEVICES]


def assert_same(result: Any, expected: Any, *, where: str) -> None:
    for field in fields(expected):
        one, two = getattr(result, field.name), getattr(expected, field.name)
        if isinstance(two, np.ndarray) and field.name != "certified":
            np.testing.assert_array_equal(one, two, err_msg=f"{field.name}, {where}")


def neighbours() -> None:
    """The k-NN graph, n no multiple of the devices, blocks smaller than a share, rows redone."""
    for kind, metric, precision in (
        ("repeated rows", "cosine", "bfloat16"),
        ("lattice", "sqeuclidean", "float32"),
    ):
        x = np.concatenate([clouds()[kind], clouds()[kind][:1] + 1])
        tiles = {"tile_rows": 8, "tile_columns": 16}
        indices, distances = nearest(x, k=4, metric=metric)
        for mesh in (None, *meshes()):
            graph = knn_graph(x, k=4, metric=metric, precision=precision, devices=mesh, **tiles)
            where = f"{kind}, {mesh.size if mesh else 1} devices"
            np.testing.assert_array_equal(graph.indices, indices, err_msg=where)
            np.testing.assert_array_equal(graph.distances, distances, err_msg=where)


@patch.object(nnk_module, "GRAM_LIMIT", 40)
def groups() -> None:
    """NNK graphs and manifold metrics of groups, and of one cloud."""
    x = clouds()["post-ReLU features"][:70, :12]
    labels = np.arange(70) % 4
    for function, partition, subset in (
        (nnk_graph, labels, meshes()),
        (nnk_graph, None, meshes()[:1]),
        (manifold_metrics, labels, meshes()),
    ):
        expected = function(x, k=5, groups=partition)
        for mesh in subset:
            result = function(x, k=5, groups=partition, devices=mesh)
            assert_same(result, expected, where=f"{function.__name__}, {mesh.size} devices")


def compilations() -> None:
    """A second graph of one shape compiles nothing, whatever the points."""
    compiled: list[str] = []

    def listen(event: str, _: float, **__: Any) -> None:
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    mesh, kinds = default_mesh(), ("all at one distance", "lattice", "views of few images")
    # The first is redone in every way, so it compiles all there is.
    counts = []
    for kind in kinds:
        knn_graph(clouds()[kind], k=4, metric="sqeuclidean", devices=mesh)
        counts.append(len(compiled))
    assert counts[0] > 0 and set(counts) == {counts[0]}, counts


def costs() -> None:
    """Compiled programs do what the model says: products, messages and memory."""
    shape = {"d": 48, "k": 7, "rows": 64, "columns": 128}
    for devices in (1, *DEVICES):
        result = measure(devices, n=3001, **shape)
        model = ring_cost(n=3001, devices=devices, scan="float32", **shape)
        for name in ("product_flops", "scan_sent", "rank_sent"):
            assert result[name] == getattr(model, name), (devices, name, result, model)
        # One block is the largest message.
        assert result["message"] == model.message <= 128 * 48 * 4, (result, model)
        peak = max(result["memory"].values())
        assert peak <= model.memory <= 2 * peak, (devices, result, model)
        assert result["working"]["scan"] <= model.scan_working, (result, model)
        assert result["working"]["rank"] <= model.rank_working, (result, model)
    # What turns needs blocks and tiles: as much for twice as many points. None of eight devices
    # holds as much as the base.
    twice = measure(8, n=6002, **shape)
    assert twice["working"]["scan"] <= 1.05 * result["working"]["scan"], (twice, result)
    assert max(twice["memory"].values()) < 6002 * 48 * 4, twice


def spread_rows() -> None:
    """Rows of a spread array, taken without bringing it together."""
    mesh = default_mesh()
    x = np.random.default_rng(0).normal(size=(4000, 3)).astype(np.float32)
    rows = np.flatnonzero(np.random.default_rng(1).random(4000) < 0.3)
    spread = shard_rows(x, mesh)
    taken = take_rows(spread, rows, mesh)
    np.testing.assert_array_equal(np.asarray(taken)[: rows.size], x[rows])
    assert not np.asarray(taken)[rows.size :].any() and taken.shape[0] % mesh.size == 0
    np.testing.assert_array_equal(fetch_rows(spread, rows[::-7]), x[rows[::-7]])


def plain_numpy() -> None:
    """What NumPy finds, within groups and among all."""
    mesh = default_mesh()
    for kind, metric, precision, grouped in (
        ("views of few images", "cosine", "bfloat16", False),
        ("all at one distance", "cosine", "float32", False),
        ("post-ReLU features", "cosine", "float32", True),
        ("repeated rows", "euclidean", "float32", True),
    ):
        x = clouds()[kind]
        partition = np.random.default_rng(0).integers(0, 3, len(x)) if grouped else None
        options = {"k": 4, "metric": metric, "groups": partition}
        graph = knn_graph(x, precision=precision, devices=mesh, tile_rows=8, **options)
        indices, distances = nearest(x, **options)
        np.testing.assert_array_equal(graph.indices, indices, err_msg=kind)
        np.testing.assert_allclose(graph.distances, distances, rtol=2.0**-23, err_msg=kind)
        if kind == "all at one distance":
            assert not graph.certified.any()


def spread_points() -> None:
    """Points that are spread already, halves too large for a Gram matrix, a base of its own."""
    mesh = default_mesh()
    x = clouds()["post-ReLU features"]
    spread = shard_rows(x, mesh)
    graph = knn_graph(spread, k=4)
    np.testing.assert_array_equal(graph.indices, nearest(x, k=4, metric="cosine")[0])
    halves = np.arange(len(x)) % 2
    with patch.object(in_groups, "_LARGE_GROUP", 40):
        graph = knn_graph(x, k=4, groups=halves, devices=mesh)
    expected = nearest(x, k=4, metric="cosine", groups=halves)[0]
    np.testing.assert_array_equal(graph.indices, expected)
    rows = np.flatnonzero(halves == 0)[3:]
    half = take_rows(spread, rows, mesh)
    assert rows.size < len(half), "rows follow that fill up the shares"
    found = nearest_in_cloud_of(half, k=4, on_sphere=True, mesh=mesh, size=rows.size)
    np.testing.assert_array_equal(found, nearest(x[rows], k=4, metric="cosine")[0])
    graph = knn_graph(x[:30], k=4, base=spread, devices=mesh)
    expected = nearest(x[:30], k=4, metric="cosine", base=x)[0]
    np.testing.assert_array_equal(graph.indices, expected)


def _never(*_: Any) -> Any:
    raise AssertionError("the points were brought together")


def spread_groups() -> None:
    """Metrics of groups of points that are spread: they meet batch by batch, none but the last."""
    x = clouds()["post-ReLU features"][:72, :12]
    labels = np.arange(72) % 4
    expected = manifold_metrics(x, k=5, groups=labels)
    spread = shard_rows(x, default_mesh())
    with patch.object(manifold, "fetch", _never):
        result = manifold_metrics(spread, k=5, groups=labels, max_points_per_batch=36)
    for name in expected.columns:
        one, two = getattr(result, name), getattr(expected, name)
        np.testing.assert_allclose(one, two, atol=1e-12, err_msg=name)


def one_spread_cloud() -> None:
    """Metrics of one cloud that stays spread, where float64 is slow."""
    x = clouds()["post-ReLU features"][:64, :12]
    near = nearest(x, k=5, metric="cosine")[0].astype(np.int32)
    options = Options(
        k=5, kernel="cosine", normalize=True, pca_threshold=0.95, seed=0, max_points=None
    )
    partners = null_partners(64, seed=(0,))
    given = (near, None, partners, options)
    alone, mesh = measure_in_three_programs(x, *given, None, _never), default_mesh()
    with patch.object(large_in_pairs, "MAX_DEFECT", 1.0):
        result = measure_in_three_programs(shard_rows(x, mesh), *given, mesh, _never)
    for name, column in alone.items():
        np.testing.assert_allclose(result[name], column, atol=1e-6, err_msg=name)


def spread_large_groups() -> None:
    """Metrics of large groups that stay spread, one after the other, where float64 is slow."""
    x = clouds()["post-ReLU features"][:72, :12]
    # No group is a multiple of the devices.
    labels = np.where(np.arange(72) % 7 < 4, 2, 1)
    spread = shard_rows(x, default_mesh())
    small = patch.object(manifold, "Options", partial(Options, gram_limit=20))
    with arithmetic("pairs"), small, patch.object(large_in_pairs, "MAX_DEFECT", 1.0):
        expected = manifold_metrics(x, k=5, groups=labels)
        with (
            patch.object(manifold, "fetch", _never),
            patch.object(large_groups, "fetch_rows", _never),
        ):
            result = manifold_metrics(spread, k=5, groups=labels)
    for name in expected.columns:
        one, two = getattr(result, name), getattr(expected, name)
        np.testing.assert_allclose(one, two, atol=1e-6, err_msg=name)


def without_float64() -> None:
    """The ring that ranks in pairs of float32, as on TPUs."""
    x = clouds()["post-ReLU features"]
    with patch.object(jax, "default_backend", lambda: "gpu"), arithmetic("pairs"):
        for base in (None, x[::-1]):
            for metric in ("cosine", "euclidean"):
                graph = knn_graph(x, k=4, metric=metric, base=base, devices=meshes()[0])
                indices, distances = nearest(x, k=4, metric=metric, base=base)
                np.testing.assert_array_equal(graph.indices, indices)
                np.testing.assert_array_equal(graph.distances, distances)
                assert graph.certified.mean() > 0.9, "most rows are ranked in pairs"
        with patch.object(ring_fallback, "_search", _never):
            for kind in ("views of few images", "all at one distance"):
                x = clouds()[kind]
                graph = knn_graph(x, k=4, metric="euclidean", devices=meshes()[0])
                indices, distances = nearest(x, k=4, metric="euclidean")
                np.testing.assert_array_equal(graph.indices, indices, err_msg=kind)
                np.testing.assert_array_equal(graph.distances, distances, err_msg=kind)
                assert not graph.certified.any(), kind


def classes_of_features(*, n: int = 8700, d: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Features after a ReLU in 20 classes, sorted by class; and like those of a ViT."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d)) + rng.normal(size=(20, d))[np.arange(n) * 20 // n]
    vit_like = x.copy()
    vit_like[:, [3, 50, 90]] = 40 * x[:, [3, 50, 90]] + 100
    return np.maximum(x, 0).astype(np.float32), vit_like.astype(np.float32)


@contextlib.contextmanager
def as_an_accelerator(wide: Any, kernel: str, *, chunk: int = buckets.CHUNK) -> Iterator[None]:
    """A ring scans in buckets, with as few columns in them as asked."""
    with (
        patch.object(jax, "default_backend", lambda: "gpu"),
        arithmetic(wide),
        patch.object(ring_buckets, "kernel_for", lambda *_, **__: kernel),
        patch.object(ring_buckets, "CHUNK", chunk),
        patch.object(ring, "scan", _never),
    ):
        yield


def in_buckets() -> None:
    """The scan of accelerators round a ring: parties of visitors, rests of great features."""
    mesh, (_, x) = meshes()[0], classes_of_features()
    queries = x[::109]
    with as_an_accelerator("pairs", "interpret", chunk=6144):
        graph = knn_graph(queries, k=8, base=x, precision="bfloat16", devices=mesh)
    indices, distances = nearest(queries, k=8, metric="cosine", base=x)
    np.testing.assert_array_equal(graph.indices, indices)
    np.testing.assert_array_equal(graph.distances, distances)
    assert graph.certified.mean() > 0.95, graph


def in_buckets_at_length() -> None:
    """The same of points among themselves, in several turns, and with float64."""
    x, vit_like = classes_of_features()
    rows = np.arange(0, 8700, 109)
    three, eight = meshes()
    for points, mesh, wide, kernel, chunk, tiles in (
        (x, eight, "pairs", "interpret", 4096, {}),
        (vit_like, three, "pairs", "xla", buckets.CHUNK, {}),
        (x, three, "float64", "xla", buckets.CHUNK, {"tile_columns": 1024}),
    ):
        with as_an_accelerator(wide, kernel, chunk=chunk):
            graph = knn_graph(points, k=8, precision="bfloat16", devices=mesh, **tiles)
        indices, distances = nearest(points[rows], k=9, metric="cosine", base=points)
        np.testing.assert_array_equal(graph.indices[rows], indices[:, 1:])
        np.testing.assert_array_equal(graph.distances[rows], distances[:, 1:])
        assert graph.certified.mean() > 0.97, (graph, kernel)


if __name__ == "__main__":
    # What counts compilations comes before what compiles.
    checks = [compilations, neighbours, groups, costs, spread_rows, plain_numpy, spread_points]
    checks += [without_float64, in_buckets]
    nightly = [spread_groups, one_spread_cloud, spread_large_groups, in_buckets_at_length]
    asked = {check.__name__ for check in nightly} & set(sys.argv)
    make_checks(*(nightly if asked else checks))
