"""The three estimators of local dimension against scikit-dimension on known manifolds.

Its estimators get float64 copies of the same float32 points. Ours take distances that were
computed in float64 and rounded once to float32, so a logarithm of a ratio is off by up to 2^-23:
estimates agree to about 1e-6, and to the last digit where nothing was rounded.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

from mgm_jax import knn_graph
from mgm_jax.geometry.cloud.intrinsic_dimension import (
    levina_bickel,
    levina_bickel_of,
    two_nn,
    two_nn_of,
)
from mgm_jax.geometry.local.pca import local_pca

skdim = pytest.importorskip(
    "skdim", reason="compares with scikit-dimension, which is not installed"
)

MANIFOLDS = {
    "sphere of 2 in 6": 2,
    "sphere of 5 in 40": 5,
    "swiss roll": 2,
    "normal of 3 in 64": 3,
    "normal of 10 in 64": 10,
    "digits": None,
}


@cache
def cloud(name: str, n: int = 500) -> np.ndarray:
    rng = np.random.default_rng(7)
    if name == "digits":
        from sklearn.datasets import load_digits

        x = np.unique(load_digits().data, axis=0)[:n]
    elif name == "swiss roll":
        from sklearn.datasets import make_swiss_roll

        x = make_swiss_roll(n, random_state=0)[0]
    else:
        m, d = int(name.split()[2]), int(name.split()[-1])
        x = np.zeros((n, d))
        if name.startswith("sphere"):
            x[:, : m + 1] = rng.standard_normal((n, m + 1))
            x /= np.linalg.norm(x, axis=1, keepdims=True)
        else:
            x[:, :m] = rng.standard_normal((n, m))
        x = x @ np.linalg.qr(rng.standard_normal((d, d)))[0] + 2
    return np.asarray(x, np.float32)


def theirs(estimator: Any, x: np.ndarray, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(x.astype(np.float64), **options)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_two_nn_is_theirs(name: str) -> None:
    x = cloud(name)
    for discard in (0.1, 0.25):
        expected = theirs(skdim.id.TwoNN(discard_fraction=discard), x).dimension_
        assert two_nn(x, discard=discard).dimension[0] == pytest.approx(expected, rel=1e-5)
    m = MANIFOLDS[name]
    assert m is None or two_nn(x).dimension[0] == pytest.approx(m, rel=0.25)


@pytest.mark.parametrize("n", [11, 17, 23])
def test_two_nn_takes_as_many_ratios_as_theirs(n: int) -> None:
    x = cloud("normal of 3 in 64")[:n]
    expected = theirs(skdim.id.TwoNN(discard_fraction=0.1), x).dimension_
    assert two_nn(x).dimension[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("name", MANIFOLDS)
def test_levina_bickel_is_theirs_at_every_point(name: str, unbiased: bool) -> None:
    x = cloud(name)
    result = levina_bickel(x, k=20, unbiased=unbiased)
    expected = theirs(skdim.id.MLE(unbiased=unbiased), x, n_neighbors=20, comb="mle")
    np.testing.assert_allclose(result.dimension, expected.dimension_pw_, rtol=1e-5)
    assert result.average[0] == pytest.approx(expected.dimension_, rel=1e-6)
    m = MANIFOLDS[name]
    assert m is None or result.average[0] == pytest.approx(m, rel=0.25)


@pytest.mark.slow
@pytest.mark.parametrize("name", MANIFOLDS)
def test_local_pca_is_theirs_in_every_neighbourhood(name: str) -> None:
    x = cloud(name)[:200]
    graph = knn_graph(x, k=30, metric="euclidean")
    result = local_pca(x, graph=graph, threshold=0.95)
    options = {"precomputed_knn": graph.indices, "n_neighbors": 30}
    wide = x.astype(np.float64)
    ratio = skdim.id.lPCA(ver="ratio", alphaRatio=0.95).fit_pw(wide, **options)
    np.testing.assert_array_equal(result.dimension, ratio.dimension_pw_)
    shares = skdim.id.lPCA(ver="participation_ratio").fit_pw(wide, **options)
    np.testing.assert_allclose(result.participation_ratio, shares.dimension_pw_, rtol=1e-6)
    np.testing.assert_array_equal(local_pca(x, k=30).dimension, result.dimension)


def test_local_eigenvalues_are_theirs_but_for_the_divisor() -> None:
    x = cloud("normal of 10 in 64")[:60]
    result = local_pca(x, k=12)
    graph = knn_graph(x, k=12, metric="euclidean")
    for row in range(5):
        one = skdim.id.lPCA(ver="ratio").fit(x[graph.indices[row]].astype(np.float64))
        # Ours is a mean over the k neighbours, theirs divides by k - 1.
        values = one.explained_var_ * 11 / 12
        np.testing.assert_allclose(result.spectrum[row], values, rtol=1e-5, atol=1e-7)


def test_repeated_rows_are_left_out_where_theirs_bend_the_estimate() -> None:
    x = cloud("normal of 3 in 64")
    repeated = np.concatenate([x, x[:50], x[:50]])
    plain = theirs(skdim.id.TwoNN(), x).dimension_
    assert two_nn(repeated).dimension[0] == pytest.approx(plain, rel=1e-5)
    bent = theirs(skdim.id.TwoNN(), repeated).dimension_
    # Theirs drops the repeated points, but their copies are still neighbours of the others.
    assert abs(bent - plain) > 1e-3
    average = levina_bickel(repeated, k=10).average[0]
    expected = theirs(skdim.id.MLE(), x, n_neighbors=10).dimension_
    assert average == pytest.approx(expected, rel=1e-6)


def test_one_search_serves_all_three() -> None:
    x = cloud("sphere of 5 in 40")
    graph = knn_graph(x, k=20, metric="euclidean")
    assert two_nn_of(graph).dimension[0] == two_nn(x).dimension[0]
    np.testing.assert_array_equal(levina_bickel_of(graph).dimension, levina_bickel(x).dimension)
    np.testing.assert_array_equal(local_pca(x, graph=graph).spectrum, local_pca(x, k=20).spectrum)


def test_groups_are_theirs_fitted_one_by_one() -> None:
    x = np.concatenate([cloud("normal of 3 in 64")[:80], cloud("normal of 10 in 64")[:75]])
    groups = np.repeat([3, 10], [80, 75])
    parts = [x[:80], x[80:]]
    expected = [theirs(skdim.id.TwoNN(), part).dimension_ for part in parts]
    np.testing.assert_allclose(two_nn(x, groups=groups).dimension, expected, rtol=1e-5)
    expected = [theirs(skdim.id.MLE(), part, n_neighbors=15).dimension_ for part in parts]
    result = levina_bickel(x, k=15, groups=groups).average
    np.testing.assert_allclose(result, expected, rtol=1e-6)
