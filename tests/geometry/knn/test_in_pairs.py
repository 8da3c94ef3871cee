"""Ranking in pairs of float32, with 64-bit types off, against float64 in NumPy."""

from __future__ import annotations

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.geometry.backend.wide import arithmetic
from mgm_jax.geometry.knn.cpu.by_pairs import nearest_by_pairs
from mgm_jax.geometry.knn.cpu.scaled_on_host import scale_on_host
from mgm_jax.geometry.knn.distance import METRICS, Metric, Points, reported_distance, scale_points
from mgm_jax.geometry.knn.in_pairs import kernel as kernel_module
from mgm_jax.geometry.knn.in_pairs.rank import (
    Ranking,
    pair_parts,
    rank_in_pairs,
    reach_of,
    table_for_ranking,
)
from mgm_jax.geometry.knn.on_device import nearest_in_cloud
from mgm_jax.geometry.knn.tile import SearchOptions

M, D, ROWS, COUNT, K = 600, 150, 64, 24, 10


def features(kind: str) -> np.ndarray:
    """Features after a ReLU; of a ViT, dense with a few great ones; and hard cases."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(M, D)) + rng.normal(size=(6, D))[np.arange(M) % 6]
    if kind == "post-ReLU":
        x = np.maximum(x, 0)
    elif kind == "ViT-like":
        x[:, :3] = 40 * x[:, :3] + 100
    elif kind == "near-duplicates":
        x = x[np.arange(M) // 100] * (1 + 1e-4 * rng.normal(size=(M, 1)))
        x[::2] += 1e-5 * rng.normal(size=(M // 2, D))
        x[::7] = x[0]
        x[::11] = 3 * x[0]
    elif kind == "wide range":
        x *= 10.0 ** rng.uniform(-6, 6, size=(M, 1))
    elif kind == "heavy tails":
        x = rng.standard_cauchy(size=(M, D))
    elif kind == "offset":
        x += 3000
    elif kind == "sparse":
        x *= rng.random(size=(M, D)) < 0.03
        x[:, 0] += 1e-3
    return x.astype(np.float32)


def oracle(
    points: Points, candidates: np.ndarray, metric: Metric, *, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Distances and indices in order, from differences in 80 bits."""
    wide = points.values.astype(np.longdouble) * points.scales[:, None]
    rows = len(candidates)
    gaps = wide[candidates] - wide[:rows, None]
    distances = reported_distance(
        (gaps * gaps).sum(axis=2),
        points.lengths[candidates],
        points.lengths[:rows, None],
        metric=metric,
    )
    order = np.lexsort((candidates, distances), axis=1)[:, :k]
    return np.take_along_axis(distances, order, 1), np.take_along_axis(candidates, order, 1)


def ranked(
    x: np.ndarray,
    metric: Metric,
    kernel: str,
    *,
    rows: int = ROWS,
    count: int = COUNT,
    k: int = K,
) -> tuple[np.ndarray, ...]:
    """What is ranked, which rows are open, and what float64 says."""
    n = len(x)
    points = scale_on_host(x, None, metric=metric).queries
    rng = np.random.default_rng(1)
    candidates = np.stack([rng.choice(n, count, replace=False) for _ in range(rows)])
    candidates = candidates.astype(np.int32)
    everybody = np.ones(n, bool)
    _, scaled, _ = scale_points(jnp.asarray(x), everybody, None, None, metric=metric, single=True)
    table = table_for_ranking(scaled)
    queries = table._replace(rows=table.rows[:rows])
    wanted, order = oracle(points, candidates, metric, k=k)
    found = rank_in_pairs(
        queries,
        table,
        jnp.asarray(candidates),
        reach_of(queries.rows[:, 0, -2], jnp.asarray(wanted[:, -1]), table.farthest, metric=metric),
        features=x.shape[1],
        k=k,
        metric=metric,
        kernel=kernel,
    )
    return *map(np.asarray, found), wanted, order


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    "kind",
    [
        "post-ReLU",
        "ViT-like",
        "near-duplicates",
        "wide range",
        "heavy tails",
        "offset",
        "sparse",
    ],
)
def test_rows_that_are_not_open_are_those_of_float64(kind: str, metric: Metric) -> None:
    assert jnp.zeros(1).dtype == jnp.float32, "64-bit types are off"
    distances, indices, left_open, wanted, order = ranked(features(kind), metric, "xla")
    settled = ~left_open
    np.testing.assert_array_equal(distances[settled], wanted[settled])
    np.testing.assert_array_equal(indices[settled], order[settled])
    if kind in ("post-ReLU", "ViT-like"):
        assert settled.mean() >= 0.97


@pytest.mark.parametrize(
    ("width", "rows"), [(D, 34), (640, 20)], ids=["two steps", "five tiles in two pieces"]
)
def test_the_kernel_of_tpus_computes_the_same(width: int, rows: int) -> None:
    rng = np.random.default_rng(2)
    x = np.maximum(rng.normal(size=(100, width)) + rng.normal(size=width), 0).astype(np.float32)
    found, again = (
        ranked(x, "cosine", kernel, rows=rows, count=8, k=4) for kernel in ("xla", "interpret")
    )
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one, other)
    distances, indices, left_open, wanted, order = found
    np.testing.assert_array_equal(distances[~left_open], wanted[~left_open])
    np.testing.assert_array_equal(indices[~left_open], order[~left_open])
    assert left_open.mean() <= 0.1


def test_the_kernel_of_pairs_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_module, "ROWS", 4)
    monkeypatch.setattr(kernel_module, "TOGETHER", 16)
    x = features("post-ReLU")[:100]
    _, scaled, _ = scale_points(
        jnp.asarray(x), np.ones(100, bool), None, None, metric="cosine", single=True
    )
    table = table_for_ranking(scaled)
    rng = np.random.default_rng(3)
    whose, chosen = jnp.asarray(rng.integers(0, 100, (2, 64)), jnp.int32)
    reach = jnp.asarray(rng.uniform(0.5, 4, 64), jnp.float32)
    found, again = (
        pair_parts(
            table.rows[::-1], table.rows, whose, chosen, reach, table.spread, features=D, kernel=one
        )
        for one in ("xla", "interpret")
    )
    wide = np.asarray(table.rows[:, 0, :D], np.longdouble)
    squared = ((wide[chosen] - wide[::-1][whose]) ** 2).sum(axis=1)
    for parts in (found, again):
        # In three pieces, of which the last alone is rounded; then lengths in two.
        np.testing.assert_allclose(sum(map(np.float64, parts[:3])), squared, rtol=2.0**-34)
        np.testing.assert_array_equal(parts[4], scaled.high[chosen])
        np.testing.assert_array_equal(parts[5], scaled.low[chosen])


def test_candidates_that_are_nobody_come_last() -> None:
    rows = jnp.asarray(np.eye(6, 128, dtype=np.float32)[:, None])
    table = Ranking(rows, jnp.full(128, 1.0), jnp.float32(4))
    distances, indices, left_open = rank_in_pairs(
        table._replace(rows=rows[:1]),
        table,
        jnp.array([[-1, 2, 9, 1]], jnp.int32),
        jnp.full(1, 2.0),
        features=126,
        k=3,
        metric="sqeuclidean",
        kernel="xla",
    )
    assert indices[0].tolist() == [1, 2, 2**31 - 1] and np.isinf(distances[0, 2])
    assert distances[0, 0] == 2 * 2.0**100 and not left_open[0]


@pytest.mark.parametrize("kind", ["post-ReLU", "ViT-like", "near-duplicates"])
def test_graph_without_float64_on_the_device_is_that_of_a_cpu(kind: str) -> None:
    x = features(kind)
    expected = nearest_by_pairs(x, None, SearchOptions(k=K, metric="cosine", precision="float32"))
    with mock.patch.object(jax, "default_backend", lambda: "gpu"), arithmetic("pairs"):
        found = nearest_in_cloud(x, None, SearchOptions(k=K, metric="cosine", precision="float32"))
    np.testing.assert_array_equal(found.indices, expected.indices)
    # Of equal directions but for the rounding of their float32, float64 itself knows less.
    step = 2.0**-22 if kind == "near-duplicates" else 0
    np.testing.assert_allclose(found.distances, expected.distances, rtol=step)
    if kind != "near-duplicates":
        assert found.certified.mean() >= 0.97
