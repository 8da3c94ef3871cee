"""Whitening against scikit-learn and closed forms, and the invariance of whitened views."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import OAS

from mgm_jax.errors import InputError
from mgm_jax.geometry.cloud.grouped_moments import grouped_moments_of
from mgm_jax.geometry.cloud.moments import moments_of, moments_of_chunks
from mgm_jax.geometry.cloud.views import alignment_of
from mgm_jax.geometry.cloud.whitening import whitened_invariance, whitening_of


def features(n: int, d: int, *, seed: int = 0) -> np.ndarray:
    """A narrow cone with a decaying spectrum, like pooled activations."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, d)) * np.arange(1, d + 1) ** -0.7 + 4).astype(np.float32)


def plain_invariance(
    x: np.ndarray, groups: np.ndarray, mean: np.ndarray, covariance: np.ndarray
) -> float:
    """The definition, by the symmetric root and a loop over pairs."""
    values, vectors = np.linalg.eigh(covariance)
    z = (x.astype(np.float64) - mean) @ (vectors / np.sqrt(values)) @ vectors.T
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    per_group = []
    for label in np.unique(groups):
        mine = z[groups == label]
        cosines = [a @ b for i, a in enumerate(mine) for j, b in enumerate(mine) if i != j]
        per_group.append(np.mean(cosines))
    return float(np.mean(per_group))


@pytest.mark.parametrize("shape", [(400, 6), (30, 40)])
def test_shrinkage_is_that_of_scikit_learn(shape: tuple[int, int]) -> None:
    x = features(*shape)
    oracle = OAS().fit(x.astype(np.float64))
    whitening = whitening_of(moments_of(x))
    assert whitening.shrinkage == pytest.approx(oracle.shrinkage_, rel=1e-9)
    precision = whitening.matrix @ whitening.matrix.T
    np.testing.assert_allclose(
        precision @ oracle.covariance_, np.eye(shape[1]), atol=1e-9 * np.abs(precision).max()
    )


def test_whitened_points_have_unit_covariance() -> None:
    x = features(500, 5)
    whitened = whitening_of(moments_of_chunks(np.array_split(x, 3)), shrinkage=0)(x)
    np.testing.assert_allclose(np.cov(whitened.T, bias=True), np.eye(5), atol=1e-5)
    np.testing.assert_allclose(whitened.mean(axis=0), 0, atol=1e-5)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("shape", [(60, 6), (24, 40)])
def test_invariance_is_its_definition(shape: tuple[int, int], own: bool) -> None:
    rng = np.random.default_rng(1)
    images = features(*shape, seed=2)
    groups = np.repeat(np.arange(12), [2, 3] * 6)
    x = images[groups] + 0.2 * rng.standard_normal((groups.size, shape[1])).astype(np.float32)
    fitted = x if own else images
    oracle = OAS().fit(fitted.astype(np.float64))
    expected = plain_invariance(x, groups, oracle.location_, oracle.covariance_)
    reference = None if own else moments_of(images)
    result = whitened_invariance(x, groups, reference=reference)
    assert result == pytest.approx(expected, abs=1e-6)
    # The streamed form that the docstring names.
    whitening = whitening_of(reference or moments_of(x))
    half = len(x) // 2
    streamed = grouped_moments_of(
        whitening(x[:half]), groups[:half], on_sphere=True, covariance=False
    ).add(whitening(x[half:]), groups[half:])
    assert 1 - alignment_of(streamed) / 2 == pytest.approx(result, abs=1e-7)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([2.0**-10, 1.0, 2.0**10]))
def test_maps_of_the_feature_space_change_nothing(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(15), 4)
    x = features(15, 5, seed=seed)[groups] + 0.1 * rng.standard_normal((60, 5))
    x = x.astype(np.float32)
    turn = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    moved = scale * (x @ turn + rng.standard_normal(5))
    assert whitened_invariance(moved, groups) == pytest.approx(
        whitened_invariance(x, groups), abs=1e-4
    )
    # Without shrinkage, any invertible linear map.
    stretched = x @ (turn * np.array([1, 2, 4, 8, 16]))
    assert whitened_invariance(stretched, groups, shrinkage=0) == pytest.approx(
        whitened_invariance(x, groups, shrinkage=0), abs=1e-4
    )


def test_the_scale_runs_from_unrelated_views_to_equal_ones() -> None:
    groups = np.repeat(np.arange(400), 2)
    images = features(400, 16)
    assert whitened_invariance(images[groups], groups) == pytest.approx(1, abs=1e-6)
    unrelated = features(800, 16)
    assert abs(whitened_invariance(unrelated, groups)) < 0.03
    # Noise of the same shape and half the variance: the cosine is the share of what is common.
    noise = (features(800, 16, seed=5) - 4) * np.sqrt(0.5)
    mixed = whitened_invariance(images[groups] + noise, groups)
    assert mixed == pytest.approx(1 / 1.5, abs=0.05)
    weak = [whitened_invariance(images[groups] + s * noise, groups) for s in (0.1, 0.5, 2.0)]
    assert weak == sorted(weak, reverse=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: whitening_of(moments_of(x), shrinkage=2), "from 0 to 1; got 2"),
        (lambda x: whitening_of(moments_of(x[:3]), shrinkage=0), "full rank, 6.*got 3 points"),
        (lambda x: whitening_of(moments_of(np.ones((4, 3)))), "all 4 are alike"),
        (lambda x: whitening_of(moments_of(x[:1])), "at least 2 points"),
        (lambda x: whitening_of(moments_of(x))(x[:, :2]), "6 columns"),
        (lambda x: whitened_invariance(x[:3], [0, 0, 1]), "two views of every image"),
    ],
)
def test_unusable_input_is_described(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(features(20, 6))
