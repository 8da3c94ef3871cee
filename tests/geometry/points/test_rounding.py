"""Wide numbers with an offset: centred before they are rounded, or a warning says what it costs."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.geometry.cloud.intrinsic_dimension import two_nn
from mgm_jax.geometry.knn.graph import knn_graph
from mgm_jax.geometry.local.pca import local_pca
from mgm_jax.geometry.nnk.graph import nnk_graph
from mgm_jax.geometry.points.rounding import offset_of
from mgm_jax.metrics import manifold_metrics

N, WIDTH, K = 48, 8, 5
NEAR = np.random.default_rng(0).normal(size=(N, WIDTH))
# So far that float32 moves the points by about 1e-4 of their spread.
FAR = NEAR + 2000


def _neighbours(points: np.ndarray) -> np.ndarray:
    gaps = ((points[:, None] - points[None]) ** 2).sum(axis=-1)
    np.fill_diagonal(gaps, np.inf)
    return np.argsort(gaps, axis=1)[:, :K]


def _crowded(seed: int) -> np.ndarray:
    """Points whose fourth and fifth neighbours float32 confuses, unless the offset is taken off."""
    points = NEAR.copy()
    points[1::2] = points[::2] + 1e-5 * np.random.default_rng(seed).normal(size=(N // 2, WIDTH))
    return points + 2000


@pytest.mark.parametrize("seed", range(2))
def test_neighbours_of_offset_points_are_those_of_float64(seed):
    points = _crowded(seed)
    result = knn_graph(points, k=K, metric="euclidean")
    np.testing.assert_array_equal(result.indices, _neighbours(points))
    apart = np.linalg.norm(points[:, None] - points[result.indices], axis=-1)
    np.testing.assert_allclose(result.distances, apart, rtol=1e-6, atol=5e-7)
    rounded = knn_graph(points.astype(np.float32), k=K, metric="euclidean", duplicates="warn")
    assert (rounded.indices != result.indices).any()


def test_a_base_moves_with_the_points():
    among = FAR[::2]
    result = knn_graph(FAR[1::2], base=among, k=2, metric="euclidean")
    expected = knn_graph(NEAR[1::2], base=NEAR[::2], k=2, metric="euclidean")
    np.testing.assert_array_equal(result.indices, expected.indices)
    np.testing.assert_allclose(result.distances, expected.distances, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("on_device", [False, True])
def test_measures_of_differences_do_not_see_the_offset(on_device):
    far = FAR
    if on_device:
        with jax.enable_x64(True) if hasattr(jax, "enable_x64") else pytest.skip("an older JAX"):
            far = jnp.asarray(FAR)
            assert far.dtype == np.float64
    near, far = (
        {
            "local pca": local_pca(x, k=K).spectrum,
            "two nn": two_nn(x).dimension,
            "nnk": nnk_graph(x, k=K, kernel="gaussian").weights,
            "metrics": manifold_metrics(
                x, k=K, kernel="gaussian", normalize=False, bandwidth=3.0
            ).nnk_diameter,
            "centred": manifold_metrics(x, k=K, center="global").nnk_diameter,
        }
        for x in (NEAR, far)
    )
    for name, values in near.items():
        np.testing.assert_allclose(far[name], values, rtol=2e-4, atol=2e-5, err_msg=name)


def test_points_that_lose_nothing_stay_as_they_are():
    assert offset_of(NEAR) is None
    assert offset_of(FAR.astype(np.float32)) is None
    assert offset_of(FAR.astype(np.float32).astype(np.float64)) is None
    assert offset_of(np.arange(12).reshape(4, 3) + 1000) is None
    np.testing.assert_allclose(offset_of(FAR), FAR.mean(axis=0))


def test_a_narrow_cone_in_float64_is_told_of():
    with pytest.warns(UserWarning, match=r"x holds float64 .*order of the 10 nearest .* cone"):
        knn_graph(_crowded(0), k=K)
    with pytest.warns(UserWarning, match="narrow cone"):
        manifold_metrics(_crowded(0), k=K)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        knn_graph(NEAR, k=K)
        knn_graph(NEAR + 3, k=K)
        manifold_metrics(_crowded(0), k=K, center="global")
