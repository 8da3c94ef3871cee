"""The scan never promises more than the truth, and exact distances are exact."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.geometry.backend.precision import double_precision, scan_dtype
from mgm_jax.geometry.knn.distance import (
    METRICS,
    Metric,
    exact_distances,
    lower_bounds,
    scale_points,
    scan,
    scan_table,
    unseen_distance,
)
from mgm_jax.geometry.knn.tile import in_units
from tests.geometry.neighbour_oracle import all_distances, clouds


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64])
@pytest.mark.parametrize("metric", ["cosine", "sqeuclidean"])
@pytest.mark.parametrize("kind", ["post-ReLU features", "views of few images", "two dimensions"])
def test_lower_bounds_hold_and_are_tight(kind: str, metric: Metric, dtype: type) -> None:
    x = clouds()[kind]
    n = len(x)
    here = np.ones(n, bool)
    with double_precision():
        points, _, mean = scale_points(jnp.asarray(x), here, None, None, metric=metric)
        table = scan_table(points, mean, here, dtype=dtype)
        bounds = np.asarray(lower_bounds(table, table), np.float64)
        bounds = bounds + np.asarray(table.half_squares, np.float64)[:, None]
        scaled = np.asarray(points.values, np.float64) * np.asarray(points.scales)[:, None]
        lengths = np.asarray(table.lengths, np.float64)
    exact = np.stack([((scaled - row) ** 2).sum(axis=1) for row in scaled]) / 2
    gap = exact - bounds
    # The last terms of the bound, of the query alone, are added where it is used.
    assert np.all(gap >= -(2.0**-20 * lengths[:, None] ** 2 + 2.0**-48))
    worst = {jnp.bfloat16: 2.0**-6, jnp.float32: 2.0**-16, jnp.float64: 2.0**-44}[dtype]
    size = lengths[:, None] ** 2 + lengths[None] ** 2
    assert np.all(gap <= worst * size + 2.0**-48)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["views of few images", "far from the origin", "lattice"])
def test_exact_distances_are_rounded_once(kind: str, metric: Metric) -> None:
    x = clouds()[kind]
    here = np.ones(len(x), bool)
    with double_precision():
        points, _, _ = scale_points(jnp.asarray(x), here, None, None, metric=metric)
        found = exact_distances(points.take(3), points, metric=metric)
        found = in_units(np.asarray(found), points, metric=metric)
    np.testing.assert_allclose(found, all_distances(x[3:4], x, metric)[0], rtol=2.0**-23)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_nothing_outside_the_candidates_is_nearer_than_promised(dtype: type) -> None:
    x = clouds()["two dimensions"]
    here = np.ones(len(x), bool)
    own = np.arange(len(x), dtype=np.int32)
    with double_precision():
        points, _, mean = scale_points(jnp.asarray(x), here, None, None, metric="cosine")
        table = scan_table(points, mean, here, dtype=dtype)
        bounds, chosen = scan(table, own, table, count=8, tile=32)
        promised = np.asarray(unseen_distance(table, bounds[:, -1], metric="cosine"))
    distances = all_distances(x, x, "cosine")
    np.fill_diagonal(distances, np.inf)
    np.put_along_axis(distances, np.asarray(chosen), np.inf, axis=1)
    assert np.all(promised <= distances.min(axis=1))
    assert np.any(promised > 0), "a bound of zero would promise nothing"


def test_padding_is_never_a_candidate() -> None:
    x = np.ones((32, 4), np.float32) * np.arange(1, 33, dtype=np.float32)[:, None]
    here = np.arange(32) < 5
    with double_precision():
        points, _, mean = scale_points(jnp.asarray(x), here, None, None, metric="sqeuclidean")
        table = scan_table(points, mean, here, dtype=jnp.float32)
        own = np.arange(32, dtype=np.int32)
        bounds, chosen = scan(table, own, table, count=6, tile=16)
    assert set(np.asarray(chosen)[0].tolist()) == {1, 2, 3, 4, -1}
    assert np.isinf(np.asarray(bounds)[0, 4:]).all()


def test_the_scan_is_narrow_only_where_it_pays() -> None:
    assert scan_dtype("auto", features=2) == jnp.float32
    assert scan_dtype("bfloat16", features=2) == jnp.bfloat16
    assert scan_dtype("auto", features=2048) in (jnp.float32, jnp.bfloat16)
