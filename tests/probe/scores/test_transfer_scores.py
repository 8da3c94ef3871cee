"""All scores at once: the same numbers as one by one, in any numbering and scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.errors import InputError
from mgm_jax.probe.knn import knn_accuracy
from mgm_jax.probe.scores.gbc import gbc
from mgm_jax.probe.scores.h_score import h_score
from mgm_jax.probe.scores.leep import leep
from mgm_jax.probe.scores.logme import logme
from mgm_jax.probe.scores.nce import nce
from mgm_jax.probe.scores.transfer_scores import transfer_scores


def planted(apart: float, *, n: int = 90, d: int = 5, seed: int = 0):
    """Three blobs whose centres lie ``apart`` standard deviations from the origin.

    Directions differ in their spread: Ledoit and Wolf shrink a round cloud to the identity, and
    the H-score with it to 0.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    x = (rng.normal(size=(n, d)) + apart * np.eye(3, d)[labels]) * 2.0 ** np.arange(d)
    return x.astype(np.float32), labels


def test_they_are_the_single_scores() -> None:
    x, labels = planted(1.0)
    result = transfer_scores(x, labels)
    assert result.logme == logme(x, labels)
    assert result.h_score == h_score(x, labels)
    assert result.gbc == gbc(x, labels)
    assert result.knn_accuracy == knn_accuracy(x, labels, k=10).accuracy
    assert np.isnan(result.leep) and set(result.to_pandas().index) == set(result.to_dict())
    assert "logme" in repr(result) and "<table" in result._repr_html_()


def test_scores_of_source_probabilities_join() -> None:
    x, labels = planted(1.0)
    chances = np.random.default_rng(0).dirichlet(np.ones(4), 90)
    result = transfer_scores(x, labels, scores=("logme",), source_probabilities=chances)
    assert result.leep == leep(chances, labels)
    assert result.nce == nce(chances.argmax(axis=1), labels)
    assert set(result.to_dict()) == {"logme", "leep", "nce"}


def test_every_score_ranks_planted_separation() -> None:
    apart = [transfer_scores(*planted(a, n=300)).to_dict() for a in (0.0, 1.0, 3.0)]
    for name in apart[0]:
        assert apart[0][name] < apart[1][name] < apart[2][name], name


@settings(max_examples=10, deadline=None)
@given(factor=st.integers(-5, 5), seed=st.integers(0, 99), flip=st.permutations(range(3)))
def test_neither_names_of_labels_nor_units_matter(factor: int, seed: int, flip: list) -> None:
    x, labels = planted(1.0, seed=seed)
    plain = transfer_scores(x, labels).to_dict()
    renamed = transfer_scores(x, 5 * np.asarray(flip)[labels] - 7).to_dict()
    scaled = transfer_scores(x * np.float32(2.0**factor), labels).to_dict()
    for name, value in plain.items():
        assert renamed[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name
        assert scaled[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_constant_features_say_no_more_than_noise(value: float) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    result = transfer_scores(np.full((300, 5), value), labels).to_dict()
    informed = transfer_scores(*planted(1.5, n=300)).to_dict()
    noise = transfer_scores(rng.normal(size=(300, 5)), labels).to_dict()
    assert result["h_score"] == result["transrate"] == 0.0 and result["gbc"] == -6.0
    for name, score in result.items():
        assert score < informed[name], name
        assert score <= noise[name] + 0.05, name


def test_unknown_scores_are_named() -> None:
    with pytest.raises(InputError, match="hscore"):
        transfer_scores(*planted(1.0), scores=("hscore",))  # type: ignore[arg-type]
