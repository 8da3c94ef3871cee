"""Clusters of models: against SciPy, under changes of unit, and on awkward tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster import hierarchy
from sklearn.metrics import adjusted_rand_score, silhouette_score

from mgm_jax.analysis import cluster_models
from mgm_jax.errors import InputError


def blobs(seed: int = 0, models: int = 12, columns: int = 5) -> pd.DataFrame:
    """Three clear groups of models on columns of very different units."""
    generator = np.random.default_rng(seed)
    centres = 6 * generator.normal(size=(3, columns))
    values = centres[np.arange(models) % 3] + generator.normal(size=(models, columns))
    units = 10.0 ** np.arange(columns)
    return pd.DataFrame(
        values * units,
        index=[f"model{i}" for i in range(models)],
        columns=[f"metric{i}" for i in range(columns)],
    )


def test_finds_the_groups_that_are_there():
    clusters = cluster_models(blobs())
    assert clusters.groups == 3
    assert adjusted_rand_score(np.arange(12) % 3, clusters.labels) == 1.0


def test_linkage_and_silhouette_are_those_of_scipy_and_scikit_learn():
    frame = blobs(1)
    clusters = cluster_models(frame)
    standardised = (frame - frame.mean()) / frame.std(ddof=0)
    expected = hierarchy.linkage(standardised, method="ward")
    np.testing.assert_allclose(clusters.linkage[:, 2], expected[:, 2], rtol=1e-10)
    score = silhouette_score(standardised, clusters.labels)
    assert clusters.silhouette == pytest.approx(score, abs=1e-12)
    assert clusters.silhouette == max(clusters.silhouettes.values())


def test_groups_lie_together_along_the_order_and_are_numbered_along_it():
    clusters = cluster_models(blobs(2))
    label = dict(zip(clusters.models, clusters.labels, strict=True))
    along = [label[model] for model in clusters.order]
    assert along == sorted(along)
    assert along[0] == 1
    table = clusters.to_pandas()
    assert list(table.index) == list(clusters.order)
    assert list(table["group"]) == along


@settings(max_examples=20, deadline=None)
@given(
    scale=st.floats(1e-4, 1e4),
    shift=st.floats(-100, 100),
    order=st.permutations(range(12)),
)
def test_units_and_order_of_rows_do_not_matter(scale: float, shift: float, order: list[int]):
    frame = blobs(3)
    changed = frame.iloc[list(order)].copy()
    changed["metric0"] = scale * changed["metric0"] + shift
    first, second = cluster_models(frame), cluster_models(changed)
    labels = pd.Series(second.labels, index=second.models)[list(frame.index)]
    assert adjusted_rand_score(first.labels, labels) == 1.0


def test_constant_and_incomplete_columns_are_named():
    frame = blobs().assign(same=0.1 + 0.2, gaps=1.0)
    frame.loc["model3", "gaps"] = np.nan
    clusters = cluster_models(frame)
    assert clusters.left_out == {"same": "constant", "gaps": "missing for model3"}
    assert clusters.columns == tuple(blobs().columns)


def test_columns_may_be_numbered():
    frame = blobs()
    numbered = frame.set_axis(range(frame.shape[1]), axis=1)
    assert cluster_models(numbered).columns == ("0", "1", "2", "3", "4")
    np.testing.assert_array_equal(cluster_models(numbered).labels, cluster_models(frame).labels)


def test_constant_up_to_rounding_is_constant():
    frame = blobs().assign(same=[0.3, 0.1 + 0.2] * 6)
    assert cluster_models(frame).left_out == {"same": "constant"}


@pytest.mark.parametrize("groups", [1, 2, 5, 12])
def test_number_of_groups_can_be_given(groups: int):
    clusters = cluster_models(blobs(), groups=groups)
    assert clusters.groups == groups == len(set(clusters.labels))


def test_cut_height_separates_kept_from_undone_merges():
    clusters = cluster_models(blobs(), groups=4)
    assert (clusters.linkage[:, 2] > clusters.cut_height).sum() == 3
    assert cluster_models(blobs(), groups=1).cut_height == 0.0
    assert 0 < cluster_models(blobs(), groups=12).cut_height < clusters.linkage[0, 2]


def test_ties_give_the_groups_asked_for():
    square = pd.DataFrame({"x": [0.0, 0, 1, 1], "y": [0.0, 1, 0, 1]}, index=list("abcd"))
    assert len(set(cluster_models(square, groups=3).labels)) == 3


def test_one_and_two_models():
    one = cluster_models(blobs().iloc[:1])
    assert (one.order, one.groups, one.linkage.shape) == (("model0",), 1, (0, 4))
    two = cluster_models(blobs().iloc[:2])
    assert two.groups == 1
    assert np.isnan(two.silhouette)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame(), "at least one row"),
        (pd.DataFrame({"x": [1.0, 2.0]}, index=["a", "a"]), "given twice: a"),
        (pd.DataFrame({"x": ["p", "q"]}, index=["a", "b"]), "text in x"),
        (pd.DataFrame({"x": [1.0, 1.0]}, index=["a", "b"]), "x: constant"),
    ],
)
def test_unusable_tables_are_refused(frame: pd.DataFrame, message: str):
    with pytest.raises(InputError, match=message):
        cluster_models(frame)


def test_number_of_groups_must_be_possible():
    with pytest.raises(InputError, match="expected 1 to 12"):
        cluster_models(blobs(), groups=13)


def test_notebook_form_escapes_names():
    shown = cluster_models(blobs().rename(index={"model0": "<b>x</b>"}))._repr_html_()
    assert "<b>x</b>" not in shown
    assert "&lt;b&gt;x&lt;/b&gt;" in shown
