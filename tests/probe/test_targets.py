"""Several labels an image, and real values: scores and probes against scikit-learn and VOC."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import average_precision_score, r2_score

from mgm_jax.errors import InputError
from mgm_jax.probe.linear import linear_probe
from mgm_jax.probe.ridge import ridge_probe
from mgm_jax.probe.scoring import average_precision, average_precision_11, score_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6)) + 3
VALUES = X @ RNG.normal(size=(6, 2)) * (1, 100) + RNG.normal(size=(120, 2)) * (0.5, 300) + (5, -7)
DRAWN = X @ RNG.normal(size=(6, 4)) + RNG.normal(size=(120, 4))
SEVERAL = (np.quantile(DRAWN, 0.7, axis=0) < DRAWN).astype(int)
TRAIN, TEST = slice(0, 80), slice(80, 120)


def voc_2007(scores: np.ndarray, truth: np.ndarray) -> float:
    """The development kit's: of every recall the largest precision at it or beyond, 11 times."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order] == 1)
    misses = np.cumsum(truth[order] == 0)
    recall, precision = hits / truth.sum(), hits / (hits + misses)
    result = 0.0
    for step in range(11):
        reached = precision[recall >= step / 10 - 1e-12]
        result += (reached.max() if reached.size else 0.0) / 11
    return result


@pytest.mark.parametrize("ties", [False, True])
def test_precision_is_scikit_learns_and_that_of_voc(ties: bool) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        scores, truth = rng.normal(size=200), rng.random(200) < 0.02 + seed / 7
        truth[seed] = True
        scores = np.round(scores, 1) if ties else scores
        exact = average_precision_score(truth, scores)
        assert average_precision(scores, truth) == pytest.approx(exact, abs=1e-12)
        assert average_precision_11(scores, truth) == pytest.approx(voc_2007(scores, truth))


def test_r2_is_scikit_learns_and_leaves_out_what_never_changes() -> None:
    guess = VALUES + RNG.normal(size=VALUES.shape) * (3, 500)
    assert score_of(guess, VALUES, score="r2") == pytest.approx(r2_score(VALUES, guess))
    constant = np.column_stack([VALUES[:, :1], np.ones(120)])
    assert score_of(guess, constant, score="r2") == pytest.approx(
        r2_score(VALUES[:, 0], guess[:, 0])
    )
    assert np.isnan(score_of(guess, np.ones((120, 2)), score="r2"))


def test_ridge_on_values_is_scikit_learns() -> None:
    strength, x = 0.3, X[TRAIN]
    unit = ((x - x.mean(axis=0)) ** 2).sum() / x.shape[1]
    result = ridge_probe(
        (x, VALUES[TRAIN]), None, (X[TEST], VALUES[TEST]), measure="r2", l2_penalties=[strength]
    )
    model = Ridge(alpha=strength * unit).fit(x, VALUES[TRAIN])
    np.testing.assert_allclose(result.weights, model.coef_.T, rtol=1e-5)
    # Features are held as float32.
    exact = r2_score(VALUES[TEST], model.predict(X[TEST]))
    assert result.score == pytest.approx(exact, abs=1e-6)
    assert result.low < result.score < result.high
    # Leaving one out chooses; each row is predicted by the fit to the others.
    path = ridge_probe((x, VALUES[TRAIN, 0]), None, (X[TEST], VALUES[TEST, 0]), measure="r2")
    for position in (0, 22):
        alpha = path.l2_penalties[position] * unit
        held = [
            Ridge(alpha=alpha).fit(x[kept], VALUES[TRAIN, 0][kept]).predict(x[row : row + 1])[0]
            for row in range(80)
            for kept in [np.arange(80) != row]
        ]
        assert path.validation[position] == pytest.approx(
            r2_score(VALUES[TRAIN, 0], held), abs=1e-5
        )


@pytest.mark.slow
@pytest.mark.parametrize("measure", ["map", "map11"])
def test_both_probes_take_several_labels(measure) -> None:
    sets = (X[TRAIN], SEVERAL[TRAIN]), None, (X[TEST], SEVERAL[TEST])
    for probe in (ridge_probe, linear_probe):
        result = probe(*sets, measure=measure, l2_penalties=5)
        logits, truth = result.logits(X[TEST]), SEVERAL[TEST]
        one = average_precision_score if measure == "map" else (lambda t, s: voc_2007(s, t))
        exact = np.mean([one(truth[:, c], logits[:, c]) for c in range(4)])
        assert result.score == pytest.approx(exact, abs=1e-6) and result.measure == measure


def test_values_that_are_none_are_refused_by_row() -> None:
    broken = VALUES[TRAIN].copy()
    broken[7, 1] = np.nan
    test = X[TEST], VALUES[TEST]
    with pytest.raises(InputError, match=r"finite for measure='r2'; got others in 1 rows \(rows 7"):
        ridge_probe((X[TRAIN], broken), None, test, measure="r2")
    with pytest.raises(InputError, match="real values"):
        ridge_probe((X[TRAIN], VALUES[:3]), None, test, measure="r2")
    with pytest.raises(InputError, match="2 columns, as train; got 1"):
        ridge_probe((X[TRAIN], VALUES[TRAIN]), None, (X[TEST], VALUES[TEST, 0]), measure="r2")
    with pytest.raises(InputError, match="not defined"):
        ridge_probe((X[TRAIN], np.ones(80)), None, (X[TEST], np.ones(40)), measure="r2")
    with pytest.raises(InputError, match="measure must be one of"):
        linear_probe((X[TRAIN], VALUES[TRAIN]), None, test, measure="r2")
