"""Transferability scores against plain float64 formulas, closed forms and planted data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import entropy, multivariate_normal
from sklearn.covariance import LedoitWolf
from sklearn.metrics import mutual_info_score

from mgm_jax.errors import InputError
from mgm_jax.probe.labelled import check_labelled
from mgm_jax.probe.scores.gbc import gbc
from mgm_jax.probe.scores.h_score import h_score
from mgm_jax.probe.scores.leep import leep
from mgm_jax.probe.scores.logme import logme
from mgm_jax.probe.scores.nce import nce
from mgm_jax.probe.scores.transrate import transrate

FEATURE_SCORES: dict[str, Callable[..., float]] = {
    "logme": logme,
    "h_score": h_score,
    "gbc": gbc,
    "transrate": transrate,
}


def planted(apart: float, *, n: int = 120, d: int = 6, seed: int = 0):
    """Three blobs whose centres lie ``apart`` standard deviations from the origin."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    return rng.normal(size=(n, d)) + apart * np.eye(3, d)[labels], labels


@pytest.mark.parametrize(("n", "d"), [(60, 5), (20, 30)])
def test_logme_is_the_largest_evidence(n: int, d: int) -> None:
    x, labels = planted(1.0, n=n, d=d)
    x = x.astype(np.float32).astype(np.float64)
    expected = []
    for value in np.unique(labels):
        target = (labels == value).astype(float)

        def negative(logs: np.ndarray, target: np.ndarray = target) -> float:
            covariance = np.eye(n) / np.exp(logs[1]) + x @ x.T / np.exp(logs[0])
            return -multivariate_normal.logpdf(target, np.zeros(n), covariance)

        result = minimize(negative, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-6})
        expected.append(-result.fun / n)
    assert logme(x, labels) == pytest.approx(np.mean(expected), abs=1e-5)


@pytest.mark.parametrize("shrinkage", [None, 0.0, 0.3])
def test_h_score_inverts_the_covariance(shrinkage: float | None) -> None:
    x, labels = planted(1.0)
    x = x.astype(np.float32).astype(np.float64)
    share = LedoitWolf().fit(x).shrinkage_ if shrinkage is None else shrinkage
    covariance = np.cov(x.T, bias=True)
    shrunk = (1 - share) * covariance + share * np.trace(covariance) / 6 * np.eye(6)
    means = np.stack([x[labels == c].mean(0) for c in labels])
    between = np.cov(means.T, bias=True)
    expected = (1 - share) * np.trace(np.linalg.inv(shrunk) @ between)
    assert h_score(x, labels, shrinkage=shrinkage) == pytest.approx(expected, rel=1e-9)


@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 5), source=st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_leep_and_nce_are_their_sums(seed: int, classes: int, source: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, 40)
    chances = rng.dirichlet(np.ones(source), 40)
    total = 0.0
    for label, row in zip(labels, chances, strict=True):
        same = chances[labels == label].sum(0)
        total += np.log(sum(row[z] * same[z] / chances[:, z].sum() for z in range(source)))
    assert leep(chances, labels) == pytest.approx(total / 40, rel=1e-9, abs=1e-12)
    hard = chances.argmax(1)
    information = mutual_info_score(labels, hard)
    expected = information - entropy(np.bincount(labels))
    assert nce(hard, labels) == pytest.approx(expected, abs=1e-9)
    # For certain sources the two are one.
    assert leep(np.eye(source)[hard], labels) == pytest.approx(nce(hard, labels), abs=1e-9)


@pytest.mark.parametrize("shape", ["diagonal", "spherical"])
def test_gbc_is_the_overlap_integral_of_the_classes(shape: str) -> None:
    """In one dimension the coefficient is the integral of sqrt(p q)."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, 50), rng.normal(2, 3, 50)])[:, None]
    labels = np.repeat([0, 1], 50)
    grid = np.linspace(-40, 40, 200_001)
    densities = [
        np.exp(-((grid - p.mean()) ** 2) / (2 * p.var())) / np.sqrt(2 * np.pi * p.var())
        for p in (x[:50].astype(np.float32), x[50:].astype(np.float32))
    ]
    overlap = np.trapezoid(np.sqrt(densities[0] * densities[1]), grid)
    assert gbc(x, labels, shape=shape) == pytest.approx(-2 * overlap, rel=1e-4)


def test_transrate_is_a_difference_of_log_determinants() -> None:
    x, labels = planted(1.0)
    x = x.astype(np.float32).astype(np.float64)
    z = x - x.mean(0)

    def rate(part: np.ndarray) -> float:
        values = np.linalg.eigvalsh(part.T @ part / (len(part) * 0.01))
        return 0.5 * np.log1p(values).sum()

    within = sum(np.mean(labels == c) * rate(z[labels == c]) for c in range(3))
    assert transrate(x, labels, epsilon=0.01) == pytest.approx(rate(z) - within, rel=1e-9)


@pytest.mark.parametrize("score", FEATURE_SCORES)
def test_classes_that_lie_apart_score_higher(score: str) -> None:
    values = [FEATURE_SCORES[score](*planted(apart)) for apart in (0.0, 2.0, 4.0)]
    assert values[0] < values[1] < values[2]


@pytest.mark.parametrize("score", FEATURE_SCORES)
def test_names_of_classes_and_order_of_rows_do_not_matter(score: str) -> None:
    x, labels = planted(1.0)
    call = FEATURE_SCORES[score]
    plain = call(x, labels)
    order = np.random.default_rng(1).permutation(len(x))
    renamed = np.array(["zebra", "ant", "70"])[labels]
    assert call(x[order], renamed[order]) == pytest.approx(plain, rel=1e-9)
    assert call(x, labels * 1000 - 7) == pytest.approx(plain, rel=1e-9)


@pytest.mark.parametrize("score", FEATURE_SCORES)
def test_constant_features_hold_no_information(score: str) -> None:
    x, labels = planted(1.0)
    call = FEATURE_SCORES[score]
    nothing = call(np.ones((len(x), 4)), labels)
    assert np.isfinite(nothing)
    noise = [call(np.random.default_rng(s).normal(size=x.shape), labels) for s in range(5)]
    assert nothing <= min(noise) + 1e-9 or score == "logme"
    assert nothing < call(*planted(3.0))
    padded = np.concatenate([x, np.full((len(x), 3), 5.0)], axis=1)
    assert call(padded, labels) == pytest.approx(call(x, labels), rel=1e-9)


def test_logme_of_nothing_is_that_of_noise_alone() -> None:
    labels = np.repeat([0, 1], 50)
    # Without features the model is y ~ N(0, 1/b) at b = n / |y|^2.
    expected = -0.5 * (np.log(2 * np.pi * 0.5) + 1)
    assert logme(np.ones((100, 3)), labels) == pytest.approx(expected, rel=1e-12)


def test_unusable_input_is_named() -> None:
    x, labels = planted(1.0)
    with pytest.raises(InputError, match="two classes"):
        logme(x, np.zeros(len(x), int))
    with pytest.raises(InputError, match="at least 2 rows of every class"):
        gbc(x, np.where(np.arange(len(x)) == 5, 9, labels))
    with pytest.raises(InputError, match=r"rows 1\b"):
        leep([[0.5, 0.5], [0.9, 0.5]], [0, 1])
    with pytest.raises(InputError, match="shrinkage"):
        h_score(x, labels, shrinkage=2)
    with pytest.raises(InputError, match="epsilon"):
        transrate(x, labels, epsilon=0)
    assert check_labelled(x, labels).sizes.sum() == len(x)
