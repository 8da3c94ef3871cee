"""Points without float64, with 64-bit types off, against 80 bits in NumPy."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.geometry.knn.distance import scale_points, scan_table

N, D = 200, 150


def cloud(kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    x = np.maximum(rng.normal(size=(N, D)) + rng.normal(size=D), 0)
    if kind == "offset":
        x += 500
    elif kind == "small and large":
        x *= 10.0 ** rng.uniform(-30, 30, size=(N, 1))
    elif kind == "tiny":
        x *= 1e-30
    elif kind == "huge":
        x *= 2e37
    return x.astype(np.float32)


def scaled(x: np.ndarray, metric: str):
    assert jnp.zeros(1).dtype == jnp.float32, "64-bit types are off"
    return scale_points(jnp.asarray(x), np.ones(N, bool), None, None, metric=metric, single=True)


KINDS = ["post-ReLU", "offset", "small and large", "tiny", "huge"]


@pytest.mark.parametrize("kind", KINDS)
def test_lengths_are_known_to_forty_bits(kind: str) -> None:
    x = cloud(kind)
    points, _, _ = scaled(x, "cosine")
    wide = (
        x.astype(np.longdouble) * np.ldexp(np.longdouble(1), np.asarray(points.exponents))[:, None]
    )
    np.testing.assert_array_equal(np.asarray(points.rows()), wide)
    length = np.sqrt((wide * wide).sum(axis=1))
    found = np.asarray(points.high, np.longdouble) + np.asarray(points.low)
    assert (abs(found / length - 1) < 2.0**-42).all()
    assert length.max() / length.min() < 2.001
    # Lengths that are alike stay so, wherever the powers of two fall.
    if kind != "small and large":
        assert length.max() / length.min() < 1.8


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "small and large"])
def test_one_power_of_two_for_all(kind: str) -> None:
    x = cloud(kind)
    points, _, _ = scaled(x, "sqeuclidean")
    exponents = np.asarray(points.exponents)
    assert (exponents == exponents[0]).all()
    wide = x.astype(np.float64) * 2.0 ** int(exponents[0])
    assert 0.49 < abs(wide - wide.mean(axis=0)).max() < 1.01


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("kind", ["post-ReLU", "offset"])
def test_errors_of_a_table_are_on_the_safe_side(kind: str, dtype: str, metric: str) -> None:
    x = cloud(kind)
    points, _, mean = scaled(x, metric)
    present = np.arange(N) < N - 3
    table = scan_table(points, mean, present, dtype=dtype)
    mean = np.asarray(mean, np.float64)
    wide = x.astype(np.longdouble)
    if metric == "cosine":
        wide /= np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    else:
        wide *= 2.0 ** int(points.exponents[0])
    centred = (wide - mean)[present]
    length = np.sqrt((centred * centred).sum(axis=1))
    gaps = centred - np.asarray(table.points.astype(jnp.float32))[present]
    moved = np.sqrt((gaps * gaps).sum(axis=1))
    least, most, share = (
        np.asarray(part, np.float64)[present]
        for part in (table.half_squares, table.lengths, table.moved)
    )
    assert (least <= length**2 / 2).all() and (most >= length).all()
    assert (share * most >= moved).all()
    # They are of use: hardly more than what rounding to the type of the scan has moved.
    centring = 2.0**-18 * (length + np.linalg.norm(mean))
    assert (share * most <= 1.01 * moved + centring).all()
    assert np.isinf(np.asarray(table.half_squares)[~present]).all()
