"""The linear probe against scikit-learn, penalty by penalty, and by hand."""

from __future__ import annotations

import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logsumexp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from mgm_jax.errors import InputError
from mgm_jax.probe.linear import linear_probe
from mgm_jax.probe.logistic.loss import loss_and_slope
from mgm_jax.probe.logistic.path import solve_path
from mgm_jax.probe.logistic.problem import prepare
from mgm_jax.probe.scoring import average_precision_11, score_interval, score_of


def blobs(n: int, d: int = 12, *, apart: float = 0.5, seed: int = 0):
    """Overlapping classes, some rarer than others."""
    rng = np.random.default_rng(seed)
    labels = np.minimum(rng.geometric(0.4, n) - 1, 3)
    centres = np.random.default_rng(99).normal(size=(4, d)) * apart
    x = np.maximum(centres[labels] + rng.normal(size=(n, d)), 0)
    return x.astype(np.float32), labels


def objective(x, labels, weights, intercepts, penalty: float) -> float:
    """The objective in float64."""
    logits = x.astype(np.float64) @ weights + intercepts
    right = logits[np.arange(len(x)), labels]
    return (logsumexp(logits, axis=1) - right).sum() + penalty / 2 * (weights**2).sum()


@pytest.mark.slow
@pytest.mark.parametrize(("n", "d"), [(300, 12), (40, 60)])
def test_every_penalty_is_as_good_as_scikit_learn(n: int, d: int) -> None:
    x, labels = blobs(n, d)
    l2_penalties = np.logspace(-5, 4, 10)
    problem = prepare(x, labels, classes=4)
    results = solve_path(problem, l2_penalties)
    # An objective that is as good leaves weights some room; a smaller tolerance leaves less.
    close = solve_path(problem, l2_penalties, tolerance=1e-8)
    assert results.converged.all()
    for i, penalty in enumerate(l2_penalties):
        model = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=20_000)
        model.fit(x.astype(np.float64), labels)
        theirs = objective(x, labels, model.coef_.T, model.intercept_, penalty)
        ours = objective(
            x, labels, results.weights[i].astype(np.float64), results.intercepts[i], penalty
        )
        assert ours <= theirs * (1 + 1e-4)
        assert results.objective[i] == pytest.approx(ours, rel=1e-5)
        # What is said about the distance to the best is no less than it is.
        assert ours <= theirs * (1 + results.excess[i]) * (1 + 1e-6)
        if penalty >= 1:
            np.testing.assert_allclose(close.weights[i], model.coef_.T, atol=2e-3)


@pytest.mark.parametrize("what", ["offset", "massive", "scaled"])
def test_offsets_and_scales_cost_nothing(what: str) -> None:
    x, labels = blobs(300, 12)
    if what == "offset":
        x += 1000
    elif what == "massive":
        x[:, 0] = 1000 + 300 * np.random.default_rng(0).normal(size=300)
    else:
        x *= 10.0 ** np.linspace(-3, 2, 12, dtype=np.float32)
    l2_penalties = np.logspace(-5, 4, 10)
    results = solve_path(prepare(x, labels, classes=4), l2_penalties)
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    left, singular, right = np.linalg.svd(centred, full_matrices=False)
    for i, penalty in enumerate(l2_penalties):
        model = LogisticRegression(C=1 / penalty, solver="newton-cholesky", tol=1e-12)
        model.fit(left * singular, labels)
        theirs = objective(centred, labels, right.T @ model.coef_.T, model.intercept_, penalty)
        weights = results.weights[i].astype(np.float64)
        ours = objective(x, labels, weights, results.intercepts[i], penalty)
        assert ours <= theirs * (1 + 1e-4), penalty


def test_labels_that_exclude_no_other_are_binary_regressions() -> None:
    x, labels = blobs(200)
    truth = np.stack([labels == 0, (labels == 1) | (labels == 3), x[:, 0] > 0.7], axis=1)
    results = solve_path(
        prepare(x, truth.astype(int), classes=3), np.array([1.0, 100.0]), tolerance=1e-8
    )
    for i, penalty in enumerate((1.0, 100.0)):
        for c in range(3):
            model = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10_000)
            model.fit(x.astype(np.float64), truth[:, c])
            np.testing.assert_allclose(results.weights[i, :, c], model.coef_[0], atol=2e-3)
    chances = expit(x @ results.weights[0] + results.intercepts[0])
    assert np.abs(chances.mean(0) - truth.mean(0)).max() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("block_rows", [None, 70])
def test_the_gradient_that_is_reported_is_that_of_every_penalty(block_rows: int | None) -> None:
    x, labels = blobs(300)
    l2_penalties = np.logspace(-2, 4, 10)
    results = solve_path(
        prepare(x, labels, classes=4, block_rows=block_rows), l2_penalties, tolerance=1e-3
    )
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    for i, penalty in enumerate(l2_penalties):
        weights = results.weights[i].astype(np.float64)
        logits = x @ weights + results.intercepts[i]
        chances = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
        residual = chances - np.eye(4)[labels]
        by_weights = centred.T @ residual + penalty * weights
        norm = np.sqrt((by_weights**2).sum() + (residual.sum(axis=0) ** 2).sum())
        # Rounding: what float32 makes of sums whose terms nearly cancel.
        rounding = 1e-7 * np.abs(centred).sum()
        assert results.gradient[i] == pytest.approx(norm, rel=1e-3, abs=rounding)
    # Stopped this early, gradients are far above the rounding of their sums.
    assert results.gradient.min() > 100 * rounding


def test_the_answer_does_not_depend_on_company() -> None:
    x, labels = blobs(300)
    problem = prepare(x, labels, classes=4)
    together = solve_path(problem, np.logspace(-4, 5, 10), tolerance=1e-8)
    alone = solve_path(problem, np.array([10.0]), tolerance=1e-8)
    np.testing.assert_allclose(together.weights[5], alone.weights[0], atol=1e-3)


@pytest.mark.slow
def test_probe_selects_on_validation_and_refits() -> None:
    sets = [blobs(n, apart=0.8, seed=s) for s, n in enumerate((200, 150, 400))]
    result = linear_probe(*sets, l2_penalties=9)
    scores = []
    for penalty in result.l2_penalties:
        model = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=5000).fit(*sets[0])
        scores.append(model.score(*sets[1]))
    np.testing.assert_allclose(result.validation, scores, atol=0.02)
    best = result.l2_penalties[result.validation == result.validation.max()]
    assert result.l2_penalty == best.max()
    x, y = (np.concatenate(parts) for parts in zip(sets[0], sets[1], strict=True))
    model = LogisticRegression(C=1 / result.l2_penalty, tol=1e-8, max_iter=5000).fit(x, y)
    assert result.score == pytest.approx(model.score(*sets[2]), abs=0.011)
    assert result.low <= result.score <= result.high
    assert score_of(result.logits(sets[2][0]), sets[2][1], score="top1") == result.score
    assert list(result.to_pandas().columns)[:2] == ["l2_penalty", "validation"]
    assert "top1" in repr(result) and "<table" in result._repr_html_()


def test_without_validation_a_fifth_is_held_out() -> None:
    train, test = blobs(250, apart=1.0), blobs(100, apart=1.0, seed=1)
    named = np.array(["d", "c", "b", "a"])
    result = linear_probe(
        (train[0], named[train[1]]), None, (test[0], named[test[1]]), l2_penalties=[1.0, 10.0]
    )
    assert result.classes.tolist() == ["a", "b", "c", "d"]
    assert result.score > np.mean(test[1] == 0)
    again = linear_probe(train, None, test, l2_penalties=[1.0, 10.0])
    assert again.score == pytest.approx(result.score, abs=1e-9)


def test_mean_per_class_and_map() -> None:
    rng = np.random.default_rng(0)
    logits, truth = rng.normal(size=(80, 4)), rng.integers(0, 4, 80)
    expected = balanced_accuracy_score(truth, logits.argmax(1))
    assert score_of(logits, truth, score="mean_per_class") == pytest.approx(expected)
    binary = (rng.random((80, 4)) < 0.3).astype(int)
    perfect = score_of(binary + 0.0, binary, score="map11")
    assert perfect == 1.0
    low, high = score_interval(logits, binary, score="map11", resamples=200)
    assert low < score_of(logits, binary, score="map11") < high


def test_tiny_losses_keep_their_digits() -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(size=(40, 6)).astype(np.float32)
    codes = rng.integers(0, 3, 40).astype(np.int32)
    # Logits up to a hundred: losses from 1e-40 to 100.
    weights = (30 * rng.normal(size=(2, 6, 3))).astype(np.float32)
    loss, slope, curved = loss_and_slope(jnp.asarray(weights), jnp.asarray(z), jnp.asarray(codes))
    for lane in range(2):
        logits = z.astype(np.float64) @ weights[lane].astype(np.float64)
        own = logits[np.arange(40), codes]
        gaps = logits - own[:, None]
        gaps[np.arange(40), codes] = -np.inf
        exact = np.logaddexp(0, logsumexp(gaps, axis=1)).sum()
        assert float(loss[lane]) == pytest.approx(exact, rel=1e-5)
        chances = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
        residual = chances - np.eye(3)[codes]
        np.testing.assert_allclose(slope[lane], z.T @ residual, atol=1e-4)
        assert float(curved[lane]) == pytest.approx((chances * (1 - chances)).sum(), rel=1e-4)
    # Rows that all are right by far: every loss is far below the rounding of a probability.
    right = np.eye(3, dtype=np.float32)[codes]
    loss, slope, _ = loss_and_slope(
        25 * jnp.eye(3, dtype=jnp.float32)[None], jnp.asarray(right), jnp.asarray(codes)
    )
    assert float(loss[0]) == pytest.approx(40 * 2 * np.exp(-25.0), rel=1e-5)
    count = np.bincount(codes, minlength=3)
    expected = np.exp(-25.0) * count[:, None] * (np.ones((3, 3)) - 3 * np.eye(3))
    np.testing.assert_allclose(slope[0], expected, rtol=1e-5)


def test_a_start_elsewhere_ends_at_the_same_place() -> None:
    x, labels = blobs(300)
    problem = prepare(x, labels, classes=4)
    cold = solve_path(problem, np.array([3.0]), tolerance=1e-8)
    start = cold.weights[0] + 0.3, cold.intercepts[0] - 1
    warm = solve_path(problem, np.array([3.0]), tolerance=1e-8, start=start)
    np.testing.assert_allclose(warm.weights, cold.weights, atol=1e-3)
    again = solve_path(problem, np.array([3.0]), start=(cold.weights[0], cold.intercepts[0]))
    assert again.steps[0] == 1


def test_constant_features_know_the_frequencies() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    for d in (3, 9):
        results = solve_path(prepare(np.ones((6, d), np.float32), labels, classes=3), np.ones(1))
        chances = np.exp(results.intercepts[0] + results.weights[0].sum(axis=0))
        np.testing.assert_allclose(chances / chances.sum(), [1 / 2, 1 / 3, 1 / 6], atol=0.02)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_average_precision_is_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = (rng.random(30) < 0.4).astype(int)
    truth[0] = 1
    scores = rng.permutation(30).astype(float)
    order = np.argsort(-scores)
    curve = []
    for cut in range(1, 31):
        hits = truth[order[:cut]].sum()
        curve.append((hits / truth.sum(), hits / cut))
    points = [max(p for r, p in curve if r >= t / 10 - 1e-12) for t in range(11)]
    assert average_precision_11(scores, truth) == pytest.approx(np.mean(points))


def test_unusable_sets_are_named() -> None:
    train, test = blobs(60), blobs(30, seed=1)
    with pytest.raises(InputError, match="columns, as train"):
        linear_probe(train, None, (test[0][:, :5], test[1]))
    with pytest.raises(InputError, match="among those of train"):
        linear_probe(train, None, (test[0], test[1] + 7))
    with pytest.raises(InputError, match="l2_penalties"):
        linear_probe(train, None, test, l2_penalties=[0.0])
    with pytest.raises(InputError, match="measure"):
        linear_probe(train, None, test, measure="f1")
    with pytest.raises(InputError, match="0 or 1"):
        linear_probe(train, None, test, measure="map11")
    with pytest.raises(InputError, match="one label for each of the 60"):
        linear_probe((train[0], train[1][:-1]), None, test)


def test_features_on_another_scale_than_the_penalties_are_told_of() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    sets = [(rng.normal(size=(60, 3)) + y[:, None], y) for _ in range(3)]
    small = [(np.float32(1e-8) * x, labels) for x, labels in sets]
    with pytest.warns(
        UserWarning, match=r"spread by 1.\d+e-08, and the penalty at the (weak|strong)"
    ):
        linear_probe(*small, l2_penalties=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        linear_probe(*sets, l2_penalties=3)
    large = [(np.float32(1e20) * x, labels) for x, labels in sets]
    with pytest.raises(InputError, match=r"products that float32 holds; they are spread by"):
        linear_probe(*large, l2_penalties=3)
