"""The scan of accelerators on a CPU: its bound against float64, and the graph that comes of it."""

from __future__ import annotations

from functools import partial
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.backend.wide import arithmetic
from mgm_jax.geometry.knn import buckets
from mgm_jax.geometry.knn.cpu.by_pairs import nearest_by_pairs
from mgm_jax.geometry.knn.distance import scale_points, scan_table
from mgm_jax.geometry.knn.great_features import great_features
from mgm_jax.geometry.knn.on_device import nearest_in_cloud
from mgm_jax.geometry.knn.tile import SearchOptions

M, D, ROWS, COUNT = 8192 + 700, 128, 96, 40


@pytest.fixture(scope="module")
def cloud() -> np.ndarray:
    """Features after a ReLU in 20 classes, sorted by class."""
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(20, D)), -(-M // 20), axis=0)[:M]
    return np.maximum(centres + rng.normal(size=(M, D)), 0).astype(np.float32)


@pytest.fixture(scope="module")
def tables(cloud: np.ndarray):
    return tables_of(cloud)


@pytest.fixture(scope="module")
def vit_like() -> np.ndarray:
    """Features of which three are much greater than the others."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(M, 192)) + rng.normal(size=(20, 192))[np.arange(M) % 20]
    x[:, [3, 50, 90]] = 40 * x[:, [3, 50, 90]] + 100
    return x.astype(np.float32)


def tables_of(cloud: np.ndarray, great: jax.Array | None = None):
    """Queries, base, and the points centred."""
    make = partial(scan_table, dtype=jnp.bfloat16, great=great)
    with double_precision():
        points, _, mean = scale_points(
            jnp.asarray(cloud), np.ones(M, bool), None, None, metric="cosine"
        )
        more = -M % buckets.COLUMNS
        filled = points._replace(
            values=jnp.pad(points.values, ((0, more), (0, 0))),
            scales=jnp.pad(points.scales, (0, more)),
            lengths=jnp.pad(points.lengths, (0, more)),
        )
        table = make(filled, mean, np.arange(M + more) < M)
        some = points.take(slice(0, ROWS))
        queries = make(some, mean, np.ones(ROWS, bool), of_queries=True)
        centred = np.asarray(points.values * points.scales[:, None] - mean)
    return queries, table, centred


@pytest.mark.parametrize("kernel", ["xla", "interpret"])
@pytest.mark.parametrize("wide", [False, True], ids=["x64 off", "x64 on"])
def test_no_column_outside_the_candidates_is_below_the_bound(tables, kernel, wide):
    queries, table, centred = tables
    own = jnp.arange(ROWS, dtype=jnp.int32)
    with jax.enable_x64(wide) if hasattr(jax, "enable_x64") else double_precision():
        columns, unseen = map(
            np.asarray, buckets.scan_in_buckets(queries, own, table, count=COUNT, kernel=kernel)
        )
    assert columns.shape == (ROWS, COUNT) and columns.dtype == np.int32
    assert not (columns == np.arange(ROWS)[:, None]).any()
    assert (columns >= 0).all() and (columns < M).all()
    gaps = ((centred[None] - centred[:ROWS, None]) ** 2).sum(axis=2) / 2
    half = gaps - (centred[:ROWS] ** 2).sum(axis=1, keepdims=True) / 2
    half[np.arange(ROWS), np.arange(ROWS)] = np.inf
    outside = half.copy()
    np.put_along_axis(outside, columns.astype(int), np.inf, axis=1)
    assert (unseen <= outside.min(axis=1)).all()
    # The bound is of use: most of it is the rounding of the scan.
    assert (np.sort(half)[:, 9] < unseen).mean() > 0.97


def test_rests_of_great_features_make_the_bound_tighter_and_no_less_true(vit_like):
    plain = tables_of(vit_like)
    great = great_features(plain[1].points)
    assert great is not None and {3, 50, 90} <= set(great.tolist())
    assert great_features(jnp.ones((2, 200))) is None
    own = jnp.arange(ROWS, dtype=jnp.int32)
    proved = []
    for queries, table, centred in (plain, tables_of(vit_like, great)):
        columns, unseen = map(
            np.asarray, buckets.scan_in_buckets(queries, own, table, count=COUNT, kernel="xla")
        )
        half = ((centred[None] - centred[:ROWS, None]) ** 2).sum(axis=2) / 2
        half -= (centred[:ROWS] ** 2).sum(axis=1, keepdims=True) / 2
        half[np.arange(ROWS), np.arange(ROWS)] = np.inf
        outside = half.copy()
        np.put_along_axis(outside, columns.astype(int), np.inf, axis=1)
        assert (unseen <= outside.min(axis=1)).all()
        proved.append((np.sort(half)[:, 29] < unseen).mean())
    assert proved[0] < 0.8 and proved[1] > 0.97, proved


def test_columns_of_many_chunks_are_merged(tables, monkeypatch):
    queries, table, _ = tables
    own = jnp.full(ROWS, -1, jnp.int32)
    whole, bound = buckets.scan_in_buckets(queries, own, table, count=COUNT, kernel="xla")
    monkeypatch.setattr(buckets, "CHUNK", buckets.COLUMNS)
    jax.clear_caches()
    parts, in_parts = buckets.scan_in_buckets(queries, own, table, count=COUNT, kernel="xla")
    jax.clear_caches()
    # Four times the buckets: nothing is lost that was found.
    assert (np.asarray(in_parts) >= np.asarray(bound) - 1e-4).all()
    found, again = np.sort(np.asarray(whole)[:, :20]), np.asarray(parts)
    assert all(np.isin(row, other).mean() > 0.9 for row, other in zip(found, again, strict=True))


@pytest.mark.nightly
def test_graph_of_features_with_great_ones_keeps_their_rests(vit_like):
    assert_exact_and_proved(vit_like, k=20, wide="pairs")


@pytest.mark.parametrize("wide", ["float64", "pairs"])
def test_graph_is_that_of_a_cpu_and_nearly_all_rows_are_proved(cloud, wide):
    assert_exact_and_proved(cloud, k=10, wide=wide)


def assert_exact_and_proved(cloud, *, k, wide):
    some, options = cloud[::18], {"k": k, "metric": "cosine"}
    expected = nearest_by_pairs(some, cloud, SearchOptions(**options, precision="float32"))
    with mock.patch.object(jax, "default_backend", lambda: "gpu"), arithmetic(wide):
        found = nearest_in_cloud(some, cloud, SearchOptions(**options, precision="bfloat16"))
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.distances, expected.distances)
    assert found.certified.mean() >= 0.97
