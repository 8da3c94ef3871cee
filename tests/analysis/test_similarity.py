"""Similarity of models: closed forms, a float64 oracle, and what must not matter."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group
from sklearn.neighbors import NearestNeighbors

from mgm_jax.analysis import model_similarity, mutual_neighbours
from mgm_jax.errors import InputError
from mgm_jax.geometry.knn.graph import knn_graph


def debiased_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al. (2012) by U-centred matrices, float64, term by term."""

    def u_centred(points: np.ndarray) -> np.ndarray:
        gram = points.astype(np.float64) @ points.astype(np.float64).T
        np.fill_diagonal(gram, 0)
        n = len(gram)
        rows = gram.sum(1) / (n - 2)
        centred = gram - rows[:, None] - rows + gram.sum() / ((n - 1) * (n - 2))
        np.fill_diagonal(centred, 0)
        return centred

    first, second = u_centred(x), u_centred(y)
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))


def related(n: int = 60, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Two embeddings of different width that share a part, and one that has none of it."""
    generator = np.random.default_rng(seed)
    shared = generator.normal(size=(n, 5))
    return {
        "a": np.maximum(shared @ generator.normal(size=(5, 30)), 0) + 3,
        "b": np.concatenate([shared, generator.normal(size=(n, 8))], axis=1),
        "c": generator.normal(size=(n, 200)),
    }


def value_of(table: pd.DataFrame, one: str, other: str, measure: str) -> pd.Series:
    return table.set_index(["encoder_a", "encoder_b", "measure"]).loc[(one, other, measure)]


def test_cka_is_that_of_the_definition():
    points = related()
    table = model_similarity(points).table
    for one, other in (("a", "b"), ("a", "c"), ("b", "c")):
        expected = debiased_cka(points[one], points[other])
        # Gram entries are float32: relative rounding 6e-8, summed over 60 x 60.
        assert value_of(table, one, other, "cka")["value"] == pytest.approx(expected, abs=2e-6)


def test_the_interval_of_cka_is_the_jackknife():
    points = related(n=25)
    row = value_of(model_similarity(points, k=5).table, "a", "b", "cka")
    keep = ~np.eye(25, dtype=bool)
    without = np.array([debiased_cka(points["a"][rows], points["b"][rows]) for rows in keep])
    error = np.sqrt(24 / 25 * ((without - without.mean()) ** 2).sum())
    assert row["value"] - row["low"] == pytest.approx(1.959964 * error, rel=1e-3)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.floats(1e-6, 1e6))
def test_rotation_scale_and_order_do_not_matter(seed: int, scale: float):
    points = related(n=40, seed=seed % 97)
    before = model_similarity({"a": points["a"], "b": points["b"]}, k=5).table
    turn = ortho_group.rvs(30, random_state=seed % 2**32)
    order = np.random.default_rng(seed).permutation(40)
    changed = {"a": (scale * points["a"] @ turn)[order], "b": points["b"][order]}
    after = model_similarity(changed, k=5).table
    np.testing.assert_allclose(after["value"], before["value"], atol=5e-6)


def test_a_model_is_most_like_itself():
    x = related()["a"]
    table = model_similarity({"a": x, "b": 2 * x}).table
    np.testing.assert_allclose(table["value"], 1, atol=1e-6)
    assert (table["high"] <= 1 + 1e-6).all()


def test_unrelated_models_have_cka_zero_on_average_however_wide():
    """The plain CKA of such embeddings is above 0.8."""
    generator = np.random.default_rng(0)
    values = []
    for _ in range(40):
        wide = {name: generator.normal(size=(30, 300)) for name in "ab"}
        values.append(value_of(model_similarity(wide, k=3).table, "a", "b", "cka")["value"])
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(40)
    assert np.std(values) < 0.2


def test_mutual_neighbours_are_those_of_scikit_learn():
    points = related()
    found = model_similarity(points, k=7)
    sets = {}
    for name, x in points.items():
        search = NearestNeighbors(n_neighbors=7, metric="cosine", algorithm="brute").fit(x)
        sets[name] = [set(row) for row in search.kneighbors(return_distance=False)]
    for one, other in (("a", "b"), ("a", "c")):
        expected = np.mean([len(p & q) / 7 for p, q in zip(sets[one], sets[other], strict=True)])
        row = value_of(found.table, one, other, "mutual_knn")
        assert row["value"] == pytest.approx(expected)
        assert row["low"] <= row["value"] <= row["high"]
    assert found.chance == pytest.approx(7 / 59)
    # The neighbours of unrelated models meet by chance alone.
    assert value_of(found.table, "a", "c", "mutual_knn")["value"] < 2 * found.chance


def test_copies_of_an_image_and_a_constant_model():
    x = related()["b"]
    x[10] = x[11]
    constant = np.ones((60, 4))
    table = model_similarity({"x": x, "flat": constant}, k=3).table
    assert np.isnan(value_of(table, "x", "flat", "cka")["value"])


def test_the_matrix_and_what_is_refused():
    points = related()
    found = model_similarity(points)
    square = found.matrix("mutual_knn")
    assert square.loc["b", "a"] == square.loc["a", "b"] and square.loc["c", "c"] == 1.0
    assert "60 images" in found._repr_html_()
    with pytest.raises(InputError, match="at least two models"):
        model_similarity({"a": points["a"]})
    with pytest.raises(InputError, match="a: 60 rows, b: 59 rows"):
        model_similarity({"a": points["a"], "b": points["b"][1:]})
    graphs = [knn_graph(points["a"], k=k) for k in (3, 4)]
    with pytest.raises(InputError, match="same k"):
        mutual_neighbours(*graphs)
