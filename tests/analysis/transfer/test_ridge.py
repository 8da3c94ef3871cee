"""Held-out ridge predictions against scikit-learn, fit by fit."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import ElasticNetCV, RidgeCV
from sklearn.linear_model import Ridge as OneRidge
from sklearn.model_selection import LeaveOneGroupOut, LeaveOneOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mgm_jax.analysis.transfer.folds import hold_out, permuted_scores
from mgm_jax.analysis.transfer.held_out import predict_held_out, predict_mean
from mgm_jax.analysis.transfer.ridge import Ridge
from mgm_jax.analysis.transfer.sparse import Sparse


def planted(models: int = 18, features: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of very different units and three scores that depend on two of them."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(models, features))
    y = x[:, :2] @ generator.normal(size=(2, 3)) + 0.7 * generator.normal(size=(models, 3))
    return x * 10.0 ** np.arange(-3, features - 3) + 5, y


@pytest.mark.parametrize("features", [1, 6, 40])
def test_leave_one_out_is_that_of_scikit_learn(features: int):
    x, y = planted(features=max(2, features))
    x = x[:, :features]
    folds = list(hold_out(np.arange(len(x))))
    own = predict_held_out(x[None], y, folds=folds, regression=Ridge(), ranks=False)[0]
    penalties = (len(x) - 1) * np.array(Ridge().penalties)
    for column in range(y.shape[1]):
        model = make_pipeline(StandardScaler(), RidgeCV(alphas=penalties))
        expected = cross_val_predict(model, x, y[:, column], cv=LeaveOneOut())
        np.testing.assert_allclose(own[:, column], expected, rtol=1e-8, atol=1e-8)


def test_leave_one_family_out_chooses_the_penalty_by_families():
    """Every inner fit is made by scikit-learn, none by the closed form."""
    x, y = planted(models=17)
    codes = np.array([0] * 5 + [1] * 4 + [2] * 1 + [3] * 7)
    ridge = Ridge(penalties=(0.01, 0.3, 2.0, 50.0))
    folds = list(hold_out(codes))
    own = predict_held_out(x[None], y, folds=folds, regression=ridge, ranks=False)[0]
    expected = np.empty_like(y)
    for train, held in LeaveOneGroupOut().split(x, y, codes):
        scaler = StandardScaler().fit(x[train])
        inside = scaler.transform(x[train])
        for column in range(y.shape[1]):
            target = y[train, column]
            errors = {}
            for penalty in ridge.penalties:
                fit = OneRidge(alpha=penalty * len(train))
                guesses = cross_val_predict(
                    fit, inside, target, groups=codes[train], cv=LeaveOneGroupOut()
                )
                errors[penalty] = ((guesses - target) ** 2).sum()
            best = OneRidge(alpha=min(errors, key=errors.__getitem__) * len(train))
            best.fit(inside, target)
            expected[held, column] = best.predict(scaler.transform(x[held]))
    np.testing.assert_allclose(own, expected, rtol=1e-8, atol=1e-8)


def test_coefficients_are_those_of_scikit_learn():
    x, y = planted()
    own = Ridge().coefficients(x[None], y, inner=np.arange(len(x)))[0]
    for column in range(y.shape[1]):
        model = RidgeCV(alphas=len(x) * np.array(Ridge().penalties))
        model.fit(StandardScaler().fit_transform(x), y[:, column])
        np.testing.assert_allclose(own[:, column], model.coef_, rtol=1e-8, atol=1e-10)


def test_sets_and_targets_do_not_influence_each_other():
    """Many sets and many targets at once give what one at a time gives, parts and all."""
    x, y = planted()
    sets = np.random.default_rng(1).normal(size=(30, *x.shape))
    many = np.repeat(y, 60, axis=1)
    folds = list(hold_out(np.arange(len(x))))
    together = predict_held_out(sets, many, folds=folds, regression=Ridge(), ranks=False)
    alone = predict_held_out(sets[[7]], y[:, [1]], folds=folds, regression=Ridge(), ranks=False)
    np.testing.assert_allclose(together[7, :, 60:120], np.repeat(alone[0], 60, 1), rtol=1e-9)


def test_a_feature_constant_in_a_fold_does_no_harm():
    x, y = planted(models=8)
    x[:, 3] = 0.0
    x[5, 3] = 1.0
    folds = list(hold_out(np.arange(8)))
    with np.errstate(all="raise"):
        own = predict_held_out(x[None], y, folds=folds, regression=Ridge(), ranks=False)[0]
    without = predict_held_out(
        np.delete(x, 3, 1)[None], y, folds=folds, regression=Ridge(), ranks=False
    )[0]
    np.testing.assert_allclose(own[5], without[5], rtol=1e-9)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_lasso_and_elastic_net_are_those_of_scikit_learn(share: float):
    x, y = planted(models=25)
    splits = np.arange(25) % 5
    own = Sparse(share=share).coefficients(x[None], y[:, :1], inner=np.arange(25))[0, :, 0]
    inside = StandardScaler().fit_transform(x)
    folds = [(np.flatnonzero(splits != s), np.flatnonzero(splits == s)) for s in range(5)]
    model = ElasticNetCV(l1_ratio=share, alphas=20, eps=1e-3, cv=folds, tol=1e-8)
    model.fit(inside, y[:, 0])
    np.testing.assert_allclose(own, model.coef_, atol=2e-3)
    assert np.array_equal(np.abs(own) > 1e-6, np.abs(model.coef_) > 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("regression", [Ridge(), Sparse(share=1.0)])
def test_ranks_do_not_see_units(regression: Ridge | Sparse):
    x, y = planted(models=12)
    folds = list(hold_out(np.arange(12)))
    own = predict_held_out(x[None], y, folds=folds, regression=regression, ranks=True)
    bent = predict_held_out(
        np.exp((x - 5) / x.std(0))[None], np.exp(y), folds=folds, regression=regression, ranks=True
    )
    np.testing.assert_allclose(own, bent, rtol=1e-10)
    assert (predict_mean(y, folds=folds, ranks=True) == 0.5).all()


@pytest.mark.parametrize("ranks", [False, True])
def test_the_score_of_a_held_out_model_is_never_seen(ranks: bool):
    x, y = planted(models=12)
    codes = np.arange(12) // 3
    folds = list(hold_out(codes))
    before = predict_held_out(x[None], y, folds=folds, regression=Ridge(), ranks=ranks)[0]
    changed = y.copy()
    changed[codes == 2] = 1e3 * np.random.default_rng(3).normal(size=(3, y.shape[1]))
    after = predict_held_out(x[None], changed, folds=folds, regression=Ridge(), ranks=ranks)[0]
    np.testing.assert_array_equal(before[codes == 2], after[codes == 2])
    assert not np.allclose(before[codes != 2], after[codes != 2])


def test_permutations_keep_families_together():
    generator = np.random.default_rng(0)
    codes = np.array([0, 1, 0, 1, 2, 2, 3, 3])
    scores = 100.0 * np.array([1, 2, 1, 2, 3, 3, 4, 4])[:, None] + np.arange(8)[:, None]
    permuted = permuted_scores(scores, codes, permutations=200, generator=generator)[:, :, 0]
    means = np.stack([permuted[:, codes == code].mean(1) for code in range(4)], axis=1)
    expected = sorted(scores[codes == code].mean() for code in range(4))
    np.testing.assert_allclose(np.sort(means, axis=1), np.tile(expected, (200, 1)))
    assert len(np.unique(means, axis=0)) == 24
    alone = permuted_scores(scores, np.arange(8), permutations=50, generator=generator)[:, :, 0]
    np.testing.assert_array_equal(np.sort(alone, 1), np.tile(np.sort(scores[:, 0]), (50, 1)))
