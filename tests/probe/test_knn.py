"""k-NN accuracy against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from mgm_jax.errors import InputError
from mgm_jax.geometry.knn.graph import knn_graph
from mgm_jax.probe.knn import knn_accuracy, knn_probe, majority, wilson_interval


def cloud(n: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Three overlapping blobs."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, n)
    return rng.standard_normal((n, 4)) + 1.2 * np.eye(3, 4)[labels], labels


@pytest.mark.slow
def test_scikit_learn_agrees_on_one_neighbour() -> None:
    x, labels = cloud()
    model = KNeighborsClassifier(1, algorithm="brute")
    predicted = cross_val_predict(model, x, labels, cv=LeaveOneOut())
    result = knn_accuracy(x, labels, k=1, metric="euclidean")
    np.testing.assert_array_equal(result.correct, predicted == labels)
    assert result.accuracy == np.mean(predicted == labels)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=5))
def test_majority_counts_and_breaks_ties_by_nearness(votes: list[list[int]]) -> None:
    winners = majority(np.array(votes))
    for row, winner in zip(votes, winners.tolist(), strict=True):
        most = max(row.count(vote) for vote in row)
        assert winner == next(vote for vote in row if row.count(vote) == most)


def test_many_rows_are_counted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    votes = np.random.default_rng(0).integers(0, 3, (40, 5))
    whole = majority(votes)
    monkeypatch.setattr("mgm_jax.probe.knn._VOTES_AT_ONCE", 60)
    np.testing.assert_array_equal(majority(votes), whole)


@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (5, 10), (97, 100), (7, 7)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_interval_is_wilsons(successes: int, trials: int, level: float) -> None:
    expected = binomtest(successes, trials).proportion_ci(level, method="wilson")
    results = wilson_interval(successes, trials, level=level)
    assert results == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_classes_may_have_any_names() -> None:
    x, labels = cloud()
    names = np.array(["ant", "bee", "cat"])[labels]
    numbered, named = knn_accuracy(x, labels), knn_accuracy(x, names)
    assert named.classes.tolist() == ["ant", "bee", "cat"]
    np.testing.assert_array_equal(named.correct, numbered.correct)
    for code in range(3):
        assert named.per_class[code] == named.correct[labels == code].mean()
    assert named.low < named.accuracy < named.high
    assert named.to_pandas().loc["bee", "accuracy"] == named.per_class[1]
    assert "k=10, 90 points, 3 classes" in repr(named) and "<table" in named._repr_html_()


def test_a_graph_can_be_used_again() -> None:
    x, labels = cloud()
    graph = knn_graph(x, k=10)
    assert (
        knn_accuracy(x, labels, k=4, graph=graph).accuracy == knn_accuracy(x, labels, k=4).accuracy
    )
    with pytest.raises(InputError, match="at least 11 neighbours of 90"):
        knn_accuracy(x, labels, k=11, graph=graph)


def test_unusable_options_are_described() -> None:
    x, labels = cloud()
    with pytest.raises(InputError, match="level must be between"):
        knn_accuracy(x, labels, level=1)
    with pytest.raises(InputError, match="one label for each of the 90"):
        knn_accuracy(x, labels[:50])


@pytest.mark.slow
def test_knn_probe_is_scikit_learns_classifier_with_one_neighbour() -> None:
    rng = np.random.default_rng(5)
    train, test = rng.normal(size=(80, 6)), rng.normal(size=(50, 6))
    y, truth = rng.integers(0, 4, 80) * 3, rng.integers(0, 4, 50) * 3
    result = knn_probe((train, y), (test, truth), k=1, metric="euclidean")
    model = KNeighborsClassifier(1).fit(train.astype(np.float32), y)
    assert result.accuracy == model.score(test.astype(np.float32), truth)
    np.testing.assert_array_equal(result.correct, model.predict(test.astype(np.float32)) == truth)
    assert result.low < result.accuracy < result.high


def test_knn_probe_counts_votes_and_knows_absent_classes() -> None:
    train = [[0.0], [1.0], [2.0], [9.0]], ["a", "b", "b", "c"]
    result = knn_probe(train, ([[0.1], [1.9]], ["b", "b"]), k=3, metric="euclidean")
    assert result.correct.tolist() == [True, True]
    assert result.per_class[1] == 1.0 and np.isnan(result.per_class[[0, 2]]).all()
    with pytest.raises(InputError, match="among those of train"):
        knn_probe(train, ([[0.0]], ["d"]), k=1, metric="euclidean")
