"""Scores of features with offsets, massive activations and columns of unequal scale.

Where a definition does not change with a shift, a scale or a rotation, neither may its score; where
it does, it is compared with its formula in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy import linalg

from mgm_jax.probe.scores.gbc import gbc
from mgm_jax.probe.scores.h_score import h_score
from mgm_jax.probe.scores.leep import leep
from mgm_jax.probe.scores.logme import logme
from mgm_jax.probe.scores.transfer_scores import transfer_scores
from mgm_jax.probe.scores.transrate import transrate


def planted(n: int = 90, d: int = 8, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three overlapping classes; values of few bits, so that shifts are exact in float32."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    x = rng.normal(size=(n, d)) * 2.0 ** -np.arange(d) + 1.5 * np.eye(3, d)[labels]
    return np.round(x * 256) / 256, labels


def problems() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Fifty problems whose features are shifted, scaled, or dominated by one direction."""
    for seed in range(50):
        rng = np.random.default_rng(seed)
        n, d = int(rng.integers(20, 120)), int(rng.integers(2, 30))
        classes = int(rng.integers(2, 4))
        labels = rng.permutation(np.arange(n) % classes)
        x = rng.normal(size=(n, d)) + rng.uniform(0, 2) * rng.normal(size=(classes, d))[labels]
        kind = seed % 5
        if kind == 1:
            x += 10 ** rng.uniform(0, 3)
        elif kind == 2:
            x[:, 0] = 10 ** rng.uniform(2, 5) + rng.normal(size=n)
        elif kind == 3:
            x *= 10 ** rng.uniform(-3, 3, d)
        elif kind == 4:
            x = np.c_[x, 10 ** rng.uniform(1, 5) * rng.normal(size=n)]
        yield x.astype(np.float32).astype(np.float64), labels


def evidence(x: np.ndarray, target: np.ndarray) -> float:
    """Largest evidence a sample over a dense grid of weight precisions, from its formula."""
    (n, d), step = x.shape, 0.01
    left, singular, _ = linalg.svd(x, full_matrices=False)
    squares, inside = singular**2, (left.T @ target) ** 2
    ratio = np.exp(np.arange(np.log(squares.min()) - 35, np.log(squares.max()) + 12, step))[:, None]
    misfit = ((ratio / (ratio + squares)) ** 2 * inside).sum(1) + max(
        target @ target - inside.sum(), 1e-12 * target.sum()
    )
    length = (squares * inside / (ratio + squares) ** 2).sum(1)
    # The best noise precision at this ratio, by the derivative of the evidence.
    b = n / (misfit + ratio[:, 0] * length)
    a = b * ratio[:, 0]
    determinant = np.log(a[:, None] + b[:, None] * squares).sum(1) + (d - squares.size) * np.log(a)
    values = n * np.log(b / (2 * np.pi)) + d * np.log(a) - b * misfit - a * length - determinant
    return values.max() / (2 * n)


def test_logme_is_the_largest_evidence_whatever_the_scaling() -> None:
    several = 0
    for x, labels in problems():
        targets = [(labels == value).astype(float) for value in np.unique(labels)]
        exact = np.mean([evidence(x, target) for target in targets])
        assert logme(x, labels) == pytest.approx(exact, abs=2e-4), x.shape
        # The largest of a grid cannot exceed the maximum.
        assert logme(x, labels) >= exact - 1e-9
        several += abs(logme(x * 1e-6, labels) - exact) < 2e-4
    assert several == 50


def test_logme_of_labels_that_features_fit_exactly_is_finite() -> None:
    labels = np.arange(60) % 2
    x = np.c_[labels, 1 - labels, np.random.default_rng(0).normal(size=60)]
    assert 5 < logme(x, labels) < 30
    assert logme(1e4 * x, labels) == pytest.approx(logme(x, labels), rel=1e-9)


SHIFTED: dict[str, Callable[..., float]] = {
    "h_score": h_score,
    "h_score, no shrinkage": lambda x, y: h_score(x, y, shrinkage=0.0),
    "gbc": gbc,
    "gbc, diagonal": lambda x, y: gbc(x, y, shape="diagonal"),
    "transrate": transrate,
    "transrate of transfer_scores": lambda x, y: (
        transfer_scores(x, y, scores=["transrate"]).transrate
    ),
}


@pytest.mark.parametrize("score", SHIFTED)
def test_a_shift_changes_nothing(score: str) -> None:
    x, labels = planted()
    call = SHIFTED[score]
    offsets = np.array([8192.0, 0, -512, 3, 0, 64, 1024, 0])
    assert call(x + offsets, labels) == pytest.approx(call(x, labels), rel=1e-6)


@pytest.mark.parametrize("score", [name for name in SHIFTED if name != "transrate"])
@pytest.mark.parametrize("factor", [2.0**-40, 2.0**40])
def test_a_scale_changes_nothing(score: str, factor: float) -> None:
    x, labels = planted()
    call = SHIFTED[score]
    assert call(x * factor, labels) == pytest.approx(call(x, labels), rel=1e-6)


def test_h_score_without_shrinkage_keeps_directions_of_small_scale() -> None:
    x, labels = planted()
    scales = 2.0 ** np.array([20, 0, -10, 5, 0, -3, 12, 0])
    plain = h_score(x, labels, shrinkage=0.0)
    assert h_score(x * scales, labels, shrinkage=0.0) == pytest.approx(plain, rel=1e-6)


def test_gbc_of_classes_that_are_flat_in_a_direction_beside_a_massive_one() -> None:
    """Two classes that touch in a direction of 1e-5 of the largest: each half the width apart."""
    rng = np.random.default_rng(0)
    small = np.where(np.arange(400) % 2, 1, -1) * 1e-3 + 1e-3 * rng.normal(size=400)
    large = 1e4 * rng.normal(size=400)
    result = gbc(np.c_[large, small], np.arange(400) % 2, shape="diagonal")
    turned = np.c_[large, small].astype(np.float32).astype(float)
    halves = [turned[np.arange(400) % 2 == code] for code in (0, 1)]
    means, variances = (np.array([f(half, axis=0) for half in halves]) for f in (np.mean, np.var))
    middle = variances.mean(axis=0)
    distance = ((means[0] - means[1]) ** 2 / middle).sum() / 8
    distance += np.log(middle / np.sqrt(variances.prod(axis=0))).sum() / 2
    # The principal components of such a cloud are its axes.
    assert result == pytest.approx(-2 * np.exp(-distance), rel=1e-3)


def test_transrate_of_features_far_larger_than_the_distortion() -> None:
    x, labels = planted(d=3)
    x = np.c_[x, x[:, 0]]
    z = (x - x.mean(axis=0)) * 2.0**30

    def rate(part: np.ndarray) -> float:
        squares = linalg.svdvals(part[:, :3] * np.array([2**0.5, 1, 1])) ** 2
        return 0.5 * np.log1p(squares / (len(part) * 1e-4)).sum()

    within = sum(np.mean(labels == c) * rate(z[labels == c]) for c in range(3))
    assert transrate(x * 2.0**30, labels) == pytest.approx(rate(z) - within, rel=1e-6)


def test_leep_of_probabilities_in_a_narrow_type_is_at_most_zero() -> None:
    chances = np.array([[0.9996, 0.0], [0.0, 1.0009]])
    assert leep(chances, ["cat", "dog"]) == 0.0
