"""Measures of a whole cloud against their formulas and closed forms."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.errors import InputError
from mgm_jax.geometry.cloud.moments import Moments, moments_of, moments_of_chunks
from mgm_jax.geometry.cloud.spectrum import (
    alignment,
    alpha_req,
    lidar,
    mean_cosine,
    nesum,
    rankme,
    spectrum,
    spectrum_of,
    uniformity,
)
from mgm_jax.geometry.cloud.views import pair_distance


def entropy_rank(values: np.ndarray) -> float:
    shares = values / values.sum() + 1e-7
    return float(np.exp(-(shares * np.log(shares)).sum()))


@pytest.mark.parametrize("shape", [(50, 8), (9, 30)])
def test_spectrum_is_that_of_the_svd(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32) + 1
    result = spectrum(x)
    exact = x.astype(np.float64)
    singular = np.linalg.svd(exact, compute_uv=False)
    np.testing.assert_allclose(result.singular_values, singular, rtol=1e-9)
    values = np.linalg.svd(exact - exact.mean(axis=0), compute_uv=False)
    values = values[: min(shape[0] - 1, shape[1])] ** 2 / (shape[0] - 1)
    np.testing.assert_allclose(result.eigenvalues, values, rtol=1e-9)
    assert rankme(x) == pytest.approx(entropy_rank(singular), rel=1e-9)
    assert nesum(x) == pytest.approx(values.sum() / values[0], rel=1e-9)
    assert "rankme=" in repr(result) and result.to_pandas().shape == (1, 3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-3, 1.0, 64.0]))
def test_turning_and_scaling_change_nothing(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((20, 6)) * rng.random(6)
    turned = scale * x @ np.linalg.qr(rng.standard_normal((6, 6)))[0]
    for measure in (rankme, nesum, alpha_req, mean_cosine):
        assert measure(turned) == pytest.approx(measure(x), rel=1e-4, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_a_power_law_is_recovered(alpha: float) -> None:
    rng = np.random.default_rng(0)
    frame = np.linalg.qr(rng.standard_normal((200, 120)))[0]
    frame = np.linalg.qr(frame - frame.mean(axis=0))[0]
    x = frame * np.arange(1, 121.0) ** (-alpha / 2)
    assert alpha_req(x) == pytest.approx(alpha, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["massive", "offset", "scaled"])
def test_the_decay_is_that_of_ranks_11_to_100_beside_a_strong_direction(what: str) -> None:
    """A floor relative to the largest eigenvalue would leave no rank to fit."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((200, 120)) * np.arange(1, 121.0) ** -0.5
    if what == "massive":
        x[:, 0] = 1000 + 3000 * rng.standard_normal(200)
    elif what == "offset":
        x += 30
    else:
        x[:, :5] *= 1e4
    exact = x.astype(np.float32).astype(np.float64)
    values = np.linalg.svd(exact - exact.mean(axis=0), compute_uv=False) ** 2
    ranks = np.arange(11, 101)
    slope, _ = np.polyfit(np.log(ranks), np.log(values[10:100]), 1, w=1 / np.sqrt(ranks))
    assert alpha_req(x) == pytest.approx(-slope, rel=1e-6)
    assert spectrum_of(moments_of(x)).alpha_req == pytest.approx(-slope, rel=1e-6)


def test_directions_that_rounding_made_are_not_fitted() -> None:
    rng = np.random.default_rng(8)
    frame = np.linalg.qr(rng.standard_normal((60, 20)))[0]
    x = (rng.standard_normal((200, 20)) * np.arange(1, 21.0) ** -1) @ frame.T
    exact = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)[:20] ** 2
    ranks = np.arange(11, 21)
    slope, _ = np.polyfit(np.log(ranks), np.log(exact[10:]), 1, w=1 / np.sqrt(ranks))
    # The 40 other directions of the float32 points are rounding.
    assert alpha_req(x) == pytest.approx(-slope, rel=1e-5)


@pytest.mark.parametrize("shape", [(400, 24), (9, 30)])
def test_moments_of_chunks_give_the_spectrum_of_the_whole(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    x = (rng.standard_normal(shape) * rng.random(shape[1]) + 3).astype(np.float32)
    whole, streamed = spectrum(x), spectrum_of(moments_of_chunks(np.array_split(x, 5)))
    assert streamed.singular_values.shape == whole.singular_values.shape
    assert streamed.eigenvalues.shape == whole.eigenvalues.shape
    top = whole.singular_values[0]
    np.testing.assert_allclose(
        streamed.singular_values**2, whole.singular_values**2, atol=1e-13 * top**2
    )
    np.testing.assert_allclose(
        streamed.eigenvalues, whole.eigenvalues, atol=1e-13 * whole.eigenvalues[0]
    )
    for name in ("rankme", "alpha_req", "nesum"):
        assert getattr(streamed, name) == pytest.approx(getattr(whole, name), rel=1e-6)


@pytest.mark.slow
def test_rankme_does_not_feel_singular_values_that_moments_lose() -> None:
    rng = np.random.default_rng(5)
    d = 120
    left, right = (np.linalg.qr(rng.standard_normal((n, d)))[0] for n in (300, d))
    values = np.logspace(0, -12, d)
    x = (left * values) @ right.T
    # The exact values are those of the float32 points, which have a floor of 1e-8 of their own.
    exact = np.linalg.svd(x.astype(np.float32).astype(np.float64), compute_uv=False)
    results = spectrum_of(moments_of(x.astype(np.float32)))
    kept = exact > 1e-6
    np.testing.assert_allclose(results.singular_values[kept], exact[kept], rtol=1e-3)
    assert results.singular_values[~kept].max() < 2e-6
    assert results.rankme == pytest.approx(entropy_rank(exact), rel=2e-7 * d)
    # Rank 3 exactly: the 117 others are rounding, and must not count as directions.
    flat = (left[:, :3] @ right[:, :3].T).astype(np.float32)
    exact = np.linalg.svd(flat.astype(np.float64), compute_uv=False)
    assert spectrum_of(moments_of(flat)).rankme == pytest.approx(entropy_rank(exact), rel=2e-7 * d)


def test_degenerate_clouds_are_told_apart() -> None:
    constant = np.ones((10, 4))
    assert np.isnan(nesum(constant)) and np.isnan(alpha_req(constant))
    assert rankme(constant) == pytest.approx(1, abs=1e-4)


def test_lidar_is_its_formula() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(12), 5)
    x = rng.standard_normal((12, 4))[groups] + 0.1 * rng.standard_normal((60, 4))
    x = x.astype(np.float32).astype(np.float64)
    means = np.stack([x[groups == g].mean(axis=0) for g in range(12)])
    within = sum(np.cov(x[groups == g].T) * 4 for g in range(12)) / (60 - 12)
    between = np.cov(means.T)
    values, vectors = np.linalg.eigh(within + 1e-4 * np.eye(4))
    root = vectors / np.sqrt(values) @ vectors.T
    expected = entropy_rank(np.linalg.eigvalsh(root @ between @ root))
    assert lidar(x, groups) == pytest.approx(expected, rel=1e-6)


def test_sphere_measures_are_means_over_pairs() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((30, 5)).astype(np.float32) + 0.5
    groups = np.repeat(["a", "b", "c"], [2, 8, 20])
    unit = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    squared = ((unit[:, None] - unit[None]) ** 2).sum(axis=2)
    pair = ~np.eye(30, dtype=bool)
    same = groups[:, None] == groups[None]
    assert uniformity(x) == pytest.approx(np.log(np.exp(-2 * squared)[pair].mean()), abs=1e-5)
    assert mean_cosine(x) == pytest.approx((unit @ unit.T)[pair].mean(), abs=1e-12)
    across = (unit @ unit.T)[~same].mean()
    assert mean_cosine(x, groups=groups) == pytest.approx(across, abs=1e-12)
    per_group = [squared[np.ix_(groups == g, groups == g)].sum() for g in "abc"]
    expected = np.mean(np.array(per_group) / [2, 56, 380])
    assert alignment(x, groups) == pytest.approx(expected, abs=1e-12)


def test_uniformity_is_the_same_in_many_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(3).standard_normal((50, 4))
    whole = uniformity(x, t=1.5)
    monkeypatch.setattr("mgm_jax.geometry.cloud.uniformity._TILE", 16)
    assert uniformity(jnp.asarray(x), t=1.5) == pytest.approx(whole, abs=1e-6)


def test_a_collapsed_cloud_is_at_the_ends_of_the_scales() -> None:
    x = np.ones((8, 3))
    assert mean_cosine(x) == pytest.approx(1) and uniformity(x) == pytest.approx(0, abs=1e-6)
    assert alignment(x, [0, 0, 0, 0, 1, 1, 1, 1]) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: lidar(x, [0, 0, 1, 1], delta=0), "delta must be above 0"),
        (lambda x: lidar(x, [0] * 4), "at least 2 images"),
        (lambda x: alignment(x, [0, 0, 0, 1]), "two views of every image; got one of 1"),
        (lambda x: uniformity(x, t=0), "t must be above 0"),
        (lambda x: mean_cosine(x, groups=[0] * 4), "at least two groups"),
        (lambda x: mean_cosine(0 * x), "only zeros"),
        (lambda x: spectrum_of(Moments.empty(4).add(x[:1])), "at least 2 points; got 1"),
    ],
)
def test_unusable_input_is_described(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(np.eye(4))


@pytest.mark.parametrize("cone", [0.0, 300.0])
def test_pair_distance_is_the_root_mean_square_over_pairs(cone):
    random = np.random.default_rng(0)
    x = (cone + random.normal(size=(40, 12))).astype(np.float32)
    groups = np.repeat(np.arange(8), 5)
    wide = x.astype(np.float64)
    units = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    gaps = ((units[:, None] - units[None]) ** 2).sum(axis=-1)
    pairs = ~np.eye(40, dtype=bool)
    assert pair_distance(x) == pytest.approx(np.sqrt(gaps[pairs].mean()), rel=1e-9)
    apart = groups[:, None] != groups
    assert pair_distance(x, groups=groups) == pytest.approx(np.sqrt(gaps[apart].mean()), rel=1e-9)
    assert pair_distance(np.ones((5, 3))) == 0
    with pytest.raises(InputError, match="at least two groups"):
        pair_distance(x, groups=np.zeros(40, int))
