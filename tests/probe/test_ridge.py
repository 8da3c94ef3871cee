"""The ridge probe against scikit-learn, and leaving one out against doing it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from mgm_jax.errors import InputError
from mgm_jax.probe.ridge import ridge_probe
from mgm_jax.probe.scoring import score_of


def blobs(n: int, d: int = 8, *, apart: float = 0.7, seed: int = 0):
    """Three overlapping classes off the origin."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    centres = np.random.default_rng(99).normal(size=(3, d)) * apart
    return (centres[labels] + rng.normal(size=(n, d)) + 4).astype(np.float32), labels


def sklearn_ridge(x: np.ndarray, labels: np.ndarray, penalty: float) -> Ridge:
    """The same problem, stated to scikit-learn in absolute units."""
    x = x.astype(np.float64)
    unit = ((x - x.mean(axis=0)) ** 2).sum() / x.shape[1]
    return Ridge(alpha=penalty * unit, solver="svd").fit(x, np.eye(3)[labels])


@pytest.mark.parametrize(("n", "d"), [(60, 8), (24, 40)])
def test_the_solution_is_scikit_learns(n: int, d: int) -> None:
    train, test = blobs(n, d), blobs(90, d, seed=1)
    for penalty in (1e-3, 0.3, 100.0):
        result = ridge_probe(train, None, test, l2_penalties=[penalty])
        model = sklearn_ridge(*train, penalty)
        np.testing.assert_allclose(result.weights, model.coef_.T, atol=1e-9)
        np.testing.assert_allclose(result.logits(test[0]), model.predict(test[0]), atol=1e-6)
        assert result.l2_penalty == penalty


@pytest.mark.parametrize("what", ["offset", "massive", "scaled"])
def test_offsets_and_scales_keep_the_solution(what: str) -> None:
    x, labels = blobs(60)
    if what == "offset":
        x += 10_000
    elif what == "massive":
        x[:, 0] = 1000 + 1e5 * np.random.default_rng(0).normal(size=60)
    else:
        x *= 10.0 ** np.linspace(-4, 4, 8, dtype=np.float32)
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    targets = np.eye(3)[labels]
    for penalty in (1e-6, 1e-2, 10.0):
        shrunk = singular**2 / (singular**2 + penalty * (singular**2).mean())
        exact = targets.mean(axis=0) + (left * shrunk) @ (left.T @ (targets - 1 / 3))
        result = ridge_probe((x, labels), None, (x, labels), l2_penalties=[penalty])
        np.testing.assert_allclose(result.logits(x.astype(np.float64)), exact, atol=1e-8)


def test_without_validation_each_row_is_left_out_in_turn() -> None:
    train, test = blobs(30), blobs(60, seed=1)
    result = ridge_probe(train, None, test, l2_penalties=[0.01, 1.0, 30.0])
    x, y = train
    unit = ((x.astype(float) - x.mean(axis=0, dtype=float)) ** 2).sum() / x.shape[1]
    for penalty, results in zip(result.l2_penalties, result.validation, strict=True):
        right = 0
        for row in range(30):
            kept = np.arange(30) != row
            model = Ridge(alpha=penalty * unit, solver="svd").fit(
                x[kept].astype(float), np.eye(3)[y[kept]]
            )
            right += model.predict(x[row : row + 1]).argmax() == y[row]
        assert results == pytest.approx(right / 30)
    best = result.validation == result.validation.max()
    assert result.l2_penalty == result.l2_penalties[best].max()


def test_validation_chooses_and_joins_the_refit() -> None:
    train, validation, test = (blobs(n, seed=s) for s, n in enumerate((30, 30, 200)))
    result = ridge_probe(train, validation, test, l2_penalties=7)
    scores = [sklearn_ridge(*train, s).predict(validation[0]) for s in result.l2_penalties]
    expected = [score_of(fit, validation[1], score="top1") for fit in scores]
    np.testing.assert_allclose(result.validation, expected)
    x, y = (np.concatenate(parts) for parts in zip(train, validation, strict=True))
    model = sklearn_ridge(x, y, result.l2_penalty)
    np.testing.assert_allclose(result.weights, model.coef_.T, atol=1e-9)
    assert result.score == score_of(model.predict(test[0]), test[1], score="top1")
    assert result.low <= result.score <= result.high
    assert "top1" in repr(result) and "<table" in result._repr_html_()


def test_units_of_the_features_change_nothing() -> None:
    train, test = blobs(60), blobs(60, seed=1)
    plain = ridge_probe(train, None, test)
    scaled = ridge_probe((train[0] * 512, train[1]), None, (test[0] * 512, test[1]))
    assert scaled.score == plain.score and scaled.l2_penalty == plain.l2_penalty


def test_constant_features_guess_a_class() -> None:
    labels = np.arange(30) % 3
    result = ridge_probe((np.ones((30, 4)), labels), None, (np.ones((30, 4)), labels))
    assert result.score == pytest.approx(1 / 3)


def test_unusable_options_are_named() -> None:
    train, test = blobs(30), blobs(30, seed=1)
    with pytest.raises(InputError, match="measure"):
        ridge_probe(train, None, test, measure="accuracy")
    with pytest.raises(InputError, match="among those of train"):
        ridge_probe(train, None, (test[0], test[1] + 1))
    with pytest.raises(InputError, match="two classes"):
        ridge_probe((train[0], np.zeros(30)), None, test)


def test_penalties_are_taken_and_told_under_their_old_name_with_a_note() -> None:
    train, test = blobs(60), blobs(60, seed=1)
    named = ridge_probe(train, None, test, l2_penalties=[0.1, 10.0])
    with pytest.warns(FutureWarning, match="strengths is called l2_penalties") as noted:
        old = ridge_probe(train, None, test, strengths=[0.1, 10.0])
    assert noted[0].filename == __file__
    assert old.l2_penalty == named.l2_penalty and old.score == named.score
    with pytest.warns(FutureWarning, match="strength is called l2_penalty"):
        assert named.strength == named.l2_penalty
    with pytest.warns(FutureWarning, match="strengths is called l2_penalties"):
        assert named.strengths.tolist() == [0.1, 10.0]
