"""Spectra of neighbourhoods against the covariance of the neighbours in float64."""

from __future__ import annotations

import numpy as np
import pytest

from mgm_jax import knn_graph
from mgm_jax.errors import InputError
from mgm_jax.geometry.local.pca import local_pca, neighbours_per_group
from mgm_jax.geometry.points.groups import encode_groups
from tests.geometry.neighbour_oracle import nearest


def covariance_spectrum(x: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Eigenvalues of the neighbours' covariance, descending, ``[n, k]``."""
    spectra = np.zeros(neighbours.shape)
    for row, chosen in enumerate(neighbours):
        values = np.linalg.eigvalsh(np.cov(x[chosen].astype(np.float64).T, bias=True))[::-1]
        spectra[row, : values.size] = values[: chosen.size]
    return spectra


def test_spectrum_is_that_of_the_covariance() -> None:
    x = np.random.default_rng(0).standard_normal((60, 6)).astype(np.float32)
    x[:, 3:] *= 0.05
    result = local_pca(x, k=10, threshold=0.9)
    expected = covariance_spectrum(x, nearest(x, k=10, metric="euclidean")[0])
    np.testing.assert_allclose(result.spectrum, expected, atol=2e-6 * expected.max())
    share = np.cumsum(expected, axis=1) / expected.sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(result.dimension, (share < 0.9).sum(axis=1) + 1)
    ratio = expected.sum(axis=1) ** 2 / (expected**2).sum(axis=1)
    np.testing.assert_allclose(result.participation_ratio, ratio, rtol=1e-4)
    assert (result.k_effective == 10).all()


@pytest.mark.parametrize("m", [1, 2, 5])
def test_flat_clouds_have_their_dimension_wherever_they_lie(m: int) -> None:
    rng = np.random.default_rng(m)
    frame = np.linalg.qr(rng.standard_normal((200, m)))[0]
    x = rng.standard_normal((64, m)) @ frame.T + 30 * rng.standard_normal(200)
    result = local_pca(x, k=20, threshold=1 - 1e-4)
    assert (result.dimension == m).all()
    assert (result.participation_ratio <= m + 1e-3).all()


def test_groups_of_unequal_size_share_one_call() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat(["many", "few", "two"], [60, 5, 2])
    x = rng.standard_normal((67, 4)).astype(np.float32)
    result = local_pca(x, groups=groups)
    assert result.spectrum.shape == (67, 50)
    np.testing.assert_array_equal(result.k_effective, np.repeat([50, 4, 1], [60, 5, 2]))
    few = local_pca(x[60:65], k=4)
    np.testing.assert_allclose(result.spectrum[60:65, :4], few.spectrum, atol=1e-6)
    assert not result.spectrum[60:, 4:].any()
    assert result.dimension[65:].tolist() == [0, 0], "one neighbour has no variance"


def test_coinciding_neighbours_have_dimension_zero_not_nan() -> None:
    result = local_pca(np.ones((6, 3), np.float32), k=3)
    assert not result.dimension.any() and not result.participation_ratio.any()
    assert not result.spectrum.any()


def test_normalised_points_ignore_their_length() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((40, 5)).astype(np.float32)
    powers = (2.0 ** rng.integers(-3, 4, (40, 1))).astype(np.float32)
    one, two = (local_pca(y, k=8, normalize=True) for y in (x, x * powers))
    np.testing.assert_array_equal(one.spectrum, two.spectrum)


def test_a_graph_takes_the_place_of_the_search() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((50, 5)).astype(np.float32)
    groups = np.repeat([0, 1], 25)
    graph = knn_graph(x, k=7, metric="sqeuclidean", groups=groups)
    results = local_pca(x, graph=graph, groups=groups)
    expected = covariance_spectrum(x, graph.indices)
    np.testing.assert_allclose(results.spectrum, expected, atol=2e-7 * expected.max())
    for call, message in (
        (lambda: local_pca(x, graph=graph, k=7), "exclude each other"),
        (lambda: local_pca(x[:40], graph=graph), "of the 40 points of x; got one of 50"),
        (lambda: local_pca(x, graph=knn_graph(x, k=7), groups=groups), "keep to the groups"),
        (
            lambda: local_pca(x[:9], graph=knn_graph(x[:9], k=20, base=x)),
            "made with a base does not fit",
        ),
    ):
        with pytest.raises(InputError, match=message):
            call()


def test_unusable_options_are_described() -> None:
    x = np.random.default_rng(0).standard_normal((10, 3))
    with pytest.raises(InputError, match="threshold must be above 0"):
        local_pca(x, threshold=0)
    with pytest.raises(InputError, match=r"groups b \(1\)"):
        local_pca(x, groups=["a"] * 9 + ["b"])
    with pytest.raises(InputError, match=r"more than 4 points; got fewer in the groups b \(4\)"):
        local_pca(x, k=4, groups=["a"] * 6 + ["b"] * 4)
    assert neighbours_per_group(None, encode_groups(None, 500)) == 50


def test_result_shows_itself() -> None:
    result = local_pca(np.random.default_rng(0).standard_normal((10, 3)), k=4)
    assert result.to_pandas().shape == (10, 3)
    assert "10 points, k=4" in repr(result) and "<table" in result._repr_html_()


@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_variances_beyond_float32_are_refused(size: float) -> None:
    points = np.random.default_rng(0).standard_normal((20, 4)) * size
    with pytest.raises(InputError, match=r"fit into float32.*20 rows.*Scale the points"):
        local_pca(points.astype(np.float32), k=5)
    assert (local_pca(points, k=5, normalize=True).dimension > 0).all()
