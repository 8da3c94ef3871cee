"""Similarity of models: closed forms, a float64 oracle, and what must not matter."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform
from scipy.stats import ortho_group, rankdata, spearmanr
from sklearn.neighbors import NearestNeighbors

from mgm_jax.analysis import model_similarity, mutual_neighbours
from mgm_jax.analysis.similarity import cka, rsa
from mgm_jax.analysis.similarity.models import MEASURES, Measure
from mgm_jax.errors import InputError
from mgm_jax.geometry.cloud import moments
from mgm_jax.geometry.knn.graph import knn_graph

REST: tuple[Measure, ...] = ("rsa", "procrustes", "svcca", "pwcca", "gulp")


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


@pytest.mark.parametrize("width", [30, 200])
def test_cka_of_many_images_takes_no_gram_matrix(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = related(n=60)
    points = {name: points[name][:, :width].astype(np.float32) for name in ("a", "c")}
    held = model_similarity(points, measures=["cka"]).table
    monkeypatch.setattr(cka, "GRAM_IMAGES", 0)
    monkeypatch.setattr(moments, "ROWS_AT_ONCE", 16)
    row = model_similarity(points, measures=["cka"]).table.loc[0]
    assert row["value"] == pytest.approx(debiased_cka(points["a"], points["c"]), abs=1e-9)
    for column in ("value", "low", "high"):
        assert row[column] == pytest.approx(held.loc[0, column], abs=5e-6)


def plain_moments(points: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    x, y = (x.astype(np.float32).astype(np.float64) for x in points.values())
    return x - x.mean(0), y - y.mean(0)


def expected_measures(points: dict[str, np.ndarray], *, ridge: float = 1e-2) -> dict[str, float]:
    """Each by its definition in float64, from n x n or n x r matrices."""
    x, y = plain_moments(points)
    n = len(x)
    sides = [np.linalg.svd(side, full_matrices=False) for side in (x, y)]

    def canonical(kept: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        left, right = (side[0][:, :count] for side, count in zip(sides, kept, strict=True))
        u, correlations, vt = np.linalg.svd(left.T @ right, full_matrices=False)
        return left @ u, correlations, right @ vt.T

    def weighted(variables: np.ndarray, features: np.ndarray, r: np.ndarray) -> float:
        weights = np.abs(variables.T @ features).sum(axis=1)
        return float(weights @ r / weights.sum())

    shares = [np.cumsum(s**2) / np.sum(s**2) for _, s, _ in sides]
    svcca = canonical([int(np.argmax(share >= 0.99)) + 1 for share in shares])[1].mean()
    of_x, r, of_y = canonical([int(np.sum(s > 1e-5 * s[0])) for _, s, _ in sides])
    hats = []
    for side in (x, y):
        scaled = side / np.sqrt(np.sum(side**2) / n)
        inner = np.linalg.inv(scaled.T @ scaled / n + ridge * np.eye(side.shape[1]))
        hats.append(scaled @ inner @ scaled.T / n)
    nuclear = np.linalg.svd(x.T @ y, compute_uv=False).sum()
    return {
        "rsa": spearmanr(pdist(x), pdist(y)).statistic,
        "procrustes": nuclear / np.linalg.norm(x) / np.linalg.norm(y),
        "svcca": svcca,
        "pwcca": (weighted(of_x, x, r) + weighted(of_y, y, r)) / 2,
        # The predictions of ridge regressions are these matrices times the task.
        "gulp": np.linalg.norm(hats[0] - hats[1]),
    }


@pytest.mark.slow
@pytest.mark.parametrize("other", ["b", "c"])
def test_other_measures_are_those_of_their_definitions(other: str) -> None:
    points = related(n=90)
    points = {"a": points["a"], other: points[other]}
    expected = expected_measures(points)
    table = model_similarity(points, measures=tuple(expected)).table.set_index("measure")
    for measure, value in expected.items():
        assert table.loc[measure, "value"] == pytest.approx(value, abs=2e-6), measure


def test_intervals_of_rsa_and_procrustes_are_jackknives() -> None:
    points = {"a": related(n=80)["a"], "b": related(n=80)["b"]}
    table = model_similarity(points, measures=("rsa", "procrustes")).table.set_index("measure")
    x, y = points.values()
    ranks = rankdata(pdist(x.astype(np.float32))), rankdata(pdist(y.astype(np.float32)))
    squares = [squareform(rank) for rank in ranks]
    upper = np.triu_indices(79, 1)
    without: dict[str, list[float]] = {"rsa": [], "procrustes": []}
    for keep in ~np.eye(80, dtype=bool):
        own = [square[np.ix_(keep, keep)][upper] for square in squares]
        without["rsa"].append(float(np.corrcoef(*own)[0, 1]))
        part = {"a": x[keep], "b": y[keep]}
        x_, y_ = plain_moments(part)
        nuclear = np.linalg.svd(x_.T @ y_, compute_uv=False).sum()
        without["procrustes"].append(nuclear / np.linalg.norm(x_) / np.linalg.norm(y_))
    for measure, tolerance in (("rsa", 1e-3), ("procrustes", 0.1)):
        error = np.sqrt(79) * np.std(without[measure])
        row = table.loc[measure]
        assert row["value"] - row["low"] == pytest.approx(1.959964 * error, rel=tolerance)


def test_rsa_of_many_images_takes_a_sample_of_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    points = {"a": related(n=200)["a"], "b": related(n=200)["b"]}
    every = model_similarity(points, measures=["rsa"]).table.loc[0]
    monkeypatch.setattr(rsa, "MAX_PAIRS", 4000)
    subset = model_similarity(points, measures=["rsa"]).table.loc[0]
    assert subset["value"] == pytest.approx(every["value"], abs=0.05)
    assert subset["value"] != every["value"] and subset["high"] > subset["value"]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.floats(1e-3, 1e3))
def test_rotation_scale_order_and_side_do_not_matter_to_any(seed: int, scale: float) -> None:
    points = related(n=70, seed=seed % 97)
    one, other = points["a"], points["b"]
    before = model_similarity({"a": one, "b": other}, measures=REST).table["value"]
    turn = ortho_group.rvs(30, random_state=seed % 2**32)
    order = np.random.default_rng(seed).permutation(70)
    changed = {"b": other[order], "a": (scale * one @ turn + scale)[order]}
    after = model_similarity(changed, measures=REST).table["value"]
    # What PWCCA weights by are the features as they stand, whose L1 norm a rotation changes.
    kept = [measure != "pwcca" for measure in REST]
    np.testing.assert_allclose(after[kept], before[kept], atol=1e-5)
    np.testing.assert_allclose(after, before, atol=0.1)


def test_models_that_are_equal_or_constant() -> None:
    x = related(n=50)["b"]
    equal = model_similarity({"a": x, "b": 2 * x}, measures=MEASURES)
    assert equal.measures == MEASURES
    assert equal.table["value"].tolist() == pytest.approx([1] * 6 + [0], abs=1e-5)
    assert equal.matrix("gulp").loc["a", "a"] == 0
    flat = model_similarity({"a": x, "flat": np.ones((50, 3))}, measures=REST)
    assert flat.table["value"].isna().all()
    assert repr(equal).startswith("ModelSimilarity(2 models, 50 images: mutual_knn 1.000 to 1.000")


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
    result = model_similarity(points, k=7)
    sets = {}
    for name, x in points.items():
        search = NearestNeighbors(n_neighbors=7, metric="cosine", algorithm="brute").fit(x)
        sets[name] = [set(row) for row in search.kneighbors(return_distance=False)]
    for one, other in (("a", "b"), ("a", "c")):
        expected = np.mean([len(p & q) / 7 for p, q in zip(sets[one], sets[other], strict=True)])
        row = value_of(result.table, one, other, "mutual_knn")
        assert row["value"] == pytest.approx(expected)
        both = model_similarity({name: points[name] for name in (one, other)}, k=7).table
        # The draws that all pairs share are those of a pair alone.
        assert row["low"] <= row["value"] <= row["high"]
        assert row.to_list() == both.loc[0, ["value", "low", "high"]].to_list()
    assert result.chance == pytest.approx(7 / 59)
    # The neighbours of unrelated models meet by chance alone.
    assert value_of(result.table, "a", "c", "mutual_knn")["value"] < 2 * result.chance


def test_copies_of_an_image_and_a_constant_model():
    x = related()["b"]
    x[10] = x[11]
    constant = np.ones((60, 4))
    table = model_similarity({"x": x, "flat": constant}, k=3).table
    assert np.isnan(value_of(table, "x", "flat", "cka")["value"])


def test_the_matrix_and_what_is_refused():
    points = related()
    result = model_similarity(points)
    square = result.matrix("mutual_knn")
    assert square.loc["b", "a"] == square.loc["a", "b"] and square.loc["c", "c"] == 1.0
    assert "60 images" in result._repr_html_()
    with pytest.raises(InputError, match="at least two models"):
        model_similarity({"a": points["a"]})
    with pytest.raises(InputError, match="a: 60 rows, b: 59 rows"):
        model_similarity({"a": points["a"], "b": points["b"][1:]})
    with pytest.raises(InputError, match="procrustes, svcca, pwcca, gulp; got cca"):
        model_similarity(points, measures=["cca"])  # type: ignore[list-item]
    with pytest.raises(InputError, match="ridge must be above 0"):
        model_similarity(points, measures=["gulp"], ridge=0)
    with pytest.raises(InputError, match="one of mutual_knn, cka; got 'rsa'"):
        result.matrix("rsa")
    graphs = [knn_graph(points["a"], k=k) for k in (3, 4)]
    with pytest.raises(InputError, match="same k"):
        mutual_neighbours(*graphs)


@pytest.mark.parametrize(("width", "told"), [(30, True), (6, False)])
def test_more_directions_than_images_are_told_of(width: int, told: bool) -> None:
    """Unrelated embeddings then have canonical correlations of 1."""
    random = np.random.default_rng(0)
    pair = {name: random.normal(size=(25, width)) for name in "ab"}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        value = model_similarity(pair, measures=["pwcca"]).table["value"][0]
    assert (value > 0.999) == told
    messages = [str(one.message) for one in said]
    # 24 directions each, of the 24 that centred points of 25 images have.
    assert any("24 canonical correlations of a pair are 1" in one for one in messages) == told
    with pytest.raises(InputError, match="embeddings must be names of models"):
        model_similarity(list(pair.values()))
