"""One rule for labels in every probe and score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mgm_jax.errors import InputError
from mgm_jax.probe.few_shot import few_shot_probe
from mgm_jax.probe.knn import knn_accuracy, knn_probe
from mgm_jax.probe.linear import linear_probe
from mgm_jax.probe.ridge import ridge_probe
from mgm_jax.probe.scores.leep import leep
from mgm_jax.probe.scores.nce import nce
from mgm_jax.probe.scores.transfer_scores import transfer_scores

CODES = np.arange(60) % 3
X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32) + 4 * np.eye(3)[CODES]
NAMES = np.array(["ant", "bee", "cat"])[CODES]


def _probe(call: Callable[..., Any], **options: Any) -> Callable[[Any], float]:
    return lambda labels: call((X, labels), None, (X, labels), l2_penalties=[1.0], **options).score


USES: dict[str, Callable[[Any], float]] = {
    "linear_probe": _probe(linear_probe),
    "ridge_probe": _probe(ridge_probe),
    "knn_probe": lambda labels: knn_probe((X, labels), (X, labels), k=3).accuracy,
    "knn_accuracy": lambda labels: knn_accuracy(X, labels, k=3).accuracy,
    "few_shot_probe": lambda labels: (
        few_shot_probe(X, labels, way=3, shot=2, queries=2, episodes=4).accuracy
    ),
    "transfer_scores": lambda labels: transfer_scores(X, labels, scores=["h_score"]).h_score,
    "leep": lambda labels: leep(np.eye(3)[CODES], labels),
    "nce": lambda labels: nce(CODES, labels),
}


def _holed(values: list, row: int = 7) -> list:
    return [None if i == row else value for i, value in enumerate(values)]


GOOD: dict[str, Callable[[], Any]] = {
    "list of strings": lambda: NAMES.tolist(),
    "categories": lambda: pd.Series(NAMES, dtype="category"),
    "nullable integers": lambda: pd.array(CODES, dtype="Int64"),
    "nullable strings": lambda: pd.Series(NAMES, dtype="string"),
    "whole floats": lambda: CODES.astype(float),
    "tensor": lambda: pytest.importorskip("torch").tensor(CODES.tolist()),
}
BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "None among strings": (lambda: _holed(NAMES.tolist()), r"no label in 1 rows \(rows 7\)"),
    "NaN among strings": (
        lambda: [float("nan") if i == 7 else str(one) for i, one in enumerate(NAMES)],
        r"no label in 1 rows \(rows 7\)",
    ),
    "NaN among floats": (
        lambda: np.where(np.arange(60) == 7, np.nan, CODES),
        r"no label in 1 rows \(rows 7\)",
    ),
    "NA among categories": (
        lambda: pd.Categorical(_holed(NAMES.tolist())),
        r"no label in 1 rows \(rows 7\)",
    ),
    "NA among integers": (
        lambda: pd.array(_holed(CODES.tolist()), dtype="Int64"),
        r"no label in 1 rows \(rows 7\)",
    ),
    "fractions": (lambda: CODES + 0.5 * (np.arange(60) == 7), r"rows \(rows 7\)"),
    "mixed": (lambda: [1 if i == 7 else one for i, one in enumerate(NAMES)], r"int in 1 rows \("),
    "no labels": (lambda: None, "got None|got NoneType"),
    "too few": (lambda: CODES[:-1], "one label for each of the 60"),
}


@pytest.mark.slow
@pytest.mark.parametrize("use", USES)
def test_labels_of_every_kind_give_the_same(use: str) -> None:
    expected = USES[use](CODES)
    for kind, labels in GOOD.items():
        assert USES[use](labels()) == expected, kind


@pytest.mark.parametrize("use", USES)
def test_labels_that_are_none_are_refused_with_their_rows(use: str) -> None:
    for kind, (labels, message) in BAD.items():
        if use == "nce" and kind in ("no labels", "too few"):
            continue
        with pytest.raises(InputError, match=message):
            USES[use](labels())


@pytest.mark.parametrize("probe", [linear_probe, ridge_probe, knn_probe])
def test_sets_may_lack_classes_that_train_has_but_not_the_other_way_round(probe: Any) -> None:
    part = CODES < 2

    def call(train: tuple, test: tuple) -> Any:
        if probe is knn_probe:
            return probe(train, test, k=3).accuracy
        return probe(train, None, test, l2_penalties=[1.0]).score

    assert call((X, NAMES), (X[part], NAMES[part])) > 0.8
    with pytest.raises(InputError, match=r"labels of test .* also cat in 20 rows \(rows 2, 5,"):
        call((X[part], NAMES[part]), (X, NAMES))
    with pytest.raises(InputError, match="strings where train has numbers"):
        call((X, CODES), (X, CODES.astype(str)))
    with pytest.raises(InputError, match="at least two classes; got only ant"):
        call((X[CODES == 0], NAMES[CODES == 0]), (X, NAMES))
    with pytest.raises(InputError, match="test must be a pair"):
        call((X, NAMES), X)  # type: ignore[arg-type]


def test_several_labels_an_image_are_zeros_and_ones_in_every_row() -> None:
    truth = np.eye(3)[CODES].astype(int)
    holed = pd.DataFrame(truth).astype("Int64")
    holed.iloc[7, 1] = pd.NA
    for labels in (holed, np.where(np.arange(60)[:, None] == 7, np.nan, truth)):
        with pytest.raises(InputError, match=r"others in 1 rows \(rows 7\)"):
            linear_probe((X, labels), None, (X, truth), measure="map11", l2_penalties=[1.0])


def test_classes_too_small_to_hold_out_are_named() -> None:
    labels = np.append(NAMES[:59], "dog")
    with pytest.raises(InputError, match="none is left of dog"):
        for seed in range(20):
            linear_probe((X, labels), None, (X, labels), l2_penalties=[1.0], seed=seed)
