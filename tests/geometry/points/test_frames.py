"""Frames of pandas that name the same rows or columns in other orders are not joined by place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mgm_jax as mgm

X = pd.DataFrame(
    np.random.default_rng(0).normal(size=(12, 3)), index=list("abcdefghijkl"), columns=list("uvw")
)
Y = pd.Series(np.arange(12) % 2, index=X.index)
SHUFFLED = X.iloc[[1, 0, *range(2, 12)]]

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "manifold_metrics": lambda x, y: mgm.manifold_metrics(x, groups=y, k=3),
    "knn_graph": lambda x, y: mgm.knn_graph(x, groups=y, k=3),
    "nnk_graph": lambda x, y: mgm.nnk_graph(x, groups=y, k=3),
    "local_pca": lambda x, y: mgm.local_pca(x, groups=y, k=3),
    "alignment": mgm.alignment,
    "two_nn": lambda x, y: mgm.two_nn(x, groups=y),
    "transfer_scores": lambda x, y: mgm.transfer_scores(x, y),
    "few_shot_probe": lambda x, y: mgm.few_shot_probe(x, y, way=2, shot=1, queries=1),
    "knn_probe": lambda x, y: mgm.knn_probe((x, y), (x, y), k=1),
    "ridge_probe": lambda x, y: mgm.ridge_probe((x, y), None, (x, y)),
    "model_similarity": lambda x, y: mgm.model_similarity({"one": x, "other": y.to_frame()}),
    "study": lambda x, y: mgm.study(features={"one": x}, labels=y, out=Path("nowhere")),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_rows_in_another_order_are_refused(call: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(mgm.InputError, match=r"rows in one order.*same 12 rows.*b and a at 0"):
        call(SHUFFLED, Y)
    assert not Path("nowhere").exists()


def test_columns_in_another_order_are_refused() -> None:
    with pytest.raises(mgm.InputError, match=r"columns in one order.*u and w at 0.*into one order"):
        mgm.knn_probe((X, Y), (X[["w", "v", "u"]], Y), k=1)
    with pytest.raises(mgm.InputError, match="columns in one order"):
        mgm.ridge_probe((X, Y), None, (X[["w", "v", "u"]], Y))


@pytest.mark.parametrize(
    "labels",
    [Y, Y.to_numpy(), Y.reset_index(drop=True), Y.set_axis(["a"] * 12), Y.iloc[::-1].to_list()],
)
def test_rows_of_one_order_or_of_other_names_are_taken_as_they_come(labels: Any) -> None:
    taken = mgm.knn_probe((X, labels), (X, labels), k=1, metric="euclidean")
    assert taken.accuracy == 1.0
