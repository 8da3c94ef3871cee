"""Input that no measure can use: every public function refuses it and says why."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from mgm_jax.errors import InputError
from mgm_jax.geometry.cloud.intrinsic_dimension import levina_bickel, two_nn
from mgm_jax.geometry.cloud.spectrum import alignment, lidar, mean_cosine
from mgm_jax.geometry.knn.graph import knn_graph
from mgm_jax.geometry.local.pca import local_pca
from mgm_jax.geometry.nnk.graph import nnk_graph
from mgm_jax.geometry.points.checks import check_points
from mgm_jax.geometry.points.groups import encode_groups
from mgm_jax.metrics import manifold_metrics
from mgm_jax.probe.knn import knn_accuracy
from tests.geometry.hard.hard_clouds import GROUPS, MEASURES, NORMALISING, K, N, ordinary

X = ordinary()
LABELS = np.arange(N) // 4


def _with(row: int, value: float, dtype: Any = np.float32) -> np.ndarray:
    points = X.astype(dtype)
    points[row, 2] = value
    return points


# Moments take single rows too, and miss their labels first.
_TOO_FEW = (
    r"at least \d rows? and 1 column; got shape \({0}, 8\)"
    "|for each of the {0} points|one row|two views"
)

BAD_POINTS: dict[str, tuple[Any, str]] = {
    "NaN": (_with(3, np.nan), r"x must have finite values.*1 rows with NaN \(rows 3\) of 48"),
    "NaN in bfloat16": (jnp.asarray(_with(3, np.nan), jnp.bfloat16), r"with NaN \(rows 3\)"),
    "infinity": (_with(3, -np.inf), r"1 rows with infinity \(rows 3\)"),
    "infinity in float16": (_with(3, np.inf, np.float16), r"1 rows with infinity \(rows 3\)"),
    "infinity on a device": (jnp.asarray(_with(3, np.inf)), r"1 rows with infinity \(rows 3\)"),
    "beyond float32": (_with(3, 1e300, np.float64), r"1 rows with infinity \(rows 3\)"),
    "denormal numbers": (X * np.float32(1e-40), "float32 .*(lose|can tell)"),
    "denormal numbers on a device": (jnp.asarray(X * np.float32(1e-40)), "float32"),
    "tiny float64": (X.astype(np.float64) * 1e-300, "differences float32 loses.*scale them"),
    "far away in float64": (1e8 + X.astype(np.float64), "differences float32 loses.*Subtract"),
    "large integers": (2**40 + (10 * X).astype(np.int64), "int64 values whose differences"),
    "large integers on a device": (2**30 + jnp.asarray(10 * X, jnp.int32), "int32 values whose"),
    "masked": (np.ma.masked_array(X, X > 2), r"a value everywhere; got masked values in \d+ rows"),
    "one axis": (X[:, 0], r"two axes, points by features; got shape \(48,\)"),
    "three axes": (X[None], r"two axes.*\(1, 48, 8\)"),
    "a number": (3.0, "two axes.*got float"),
    "nothing": (None, "two axes.*got NoneType"),
    "a generator": (iter(X), "two axes.*got "),
    "a sparse matrix": (sparse.csr_matrix(X), "two axes.*got csr_matrix.*Convert"),
    "an empty list": ([], r"two axes.*\(0,\)"),
    "rows of unequal length": ([[1.0, 2.0], [3.0]], "NumPy cannot make one of the list"),
    "no rows": (X[:0], _TOO_FEW.format(0)),
    "no columns": (X[:, :0], r"at least \d rows? and 1 column; got shape \(48, 0\)"),
    "one point": (X[:1], _TOO_FEW.format(1)),
    "complex": (X.astype(np.complex64), "real numbers; got dtype complex64"),
    "booleans": (X > 0, "real numbers; got dtype bool. Convert it to float32"),
    "objects": (X.astype(object), "real numbers; got dtype object"),
    "strings": (X.astype(str), "real numbers; got dtype <U"),
    "bytes": (X.astype("S8"), r"real numbers; got dtype \|S8"),
    "dates": (X.astype("int64").astype("M8[s]"), r"real numbers; got dtype datetime64"),
    "spans of time": (X.astype("int64").astype("m8[s]"), r"real numbers; got dtype timedelta64"),
    "a table with text": (pd.DataFrame({"a": X[:, 0], "b": "text"}), "got dtype object"),
    "a table with gaps": (pd.DataFrame(X).astype("Float32").mask(X > 2), "rows with NaN"),
}


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("kind", BAD_POINTS)
def test_bad_points_are_refused(kind: str, measure: str) -> None:
    if kind == "one point" and measure == "knn among a base":
        pytest.skip("one point may be looked up among others")
    points, message = BAD_POINTS[kind]
    with pytest.raises(InputError, match=message):
        MEASURES[measure](points)


@pytest.mark.parametrize("measure", sorted(NORMALISING))
def test_rows_of_zeros_have_no_direction(measure: str) -> None:
    points = X.copy()
    points[[5, 9]] = 0
    with pytest.raises(InputError, match=r"direction.*2 rows with only zeros \(rows 5, 9\)"):
        MEASURES[measure](points)
    points[[5, 9]] = 1e-42
    with pytest.raises(InputError, match=r"2 rows with values all below 2e-31.*\(rows 5, 9\)"):
        MEASURES[measure](points)


@pytest.mark.slow
@pytest.mark.parametrize("measure", sorted(set(MEASURES) - NORMALISING))
def test_rows_of_zeros_are_points_elsewhere(measure: str) -> None:
    points = X.copy()
    points[5] = 0
    result = MEASURES[measure](points)
    assert all(np.isfinite(column).all() for name, column in result.items() if "excess" not in name)


def test_a_few_denormal_numbers_among_others_are_welcome() -> None:
    points = X.copy()
    points[:, 0] = 1e-42
    np.testing.assert_array_equal(check_points(points, cosine=True), points)
    few = X.copy()
    few[3] = 1e-42
    np.testing.assert_array_equal(check_points(few), few)


def test_a_base_is_checked_like_points() -> None:
    for base, message in [
        (_with(3, np.nan), r"base must have finite values.*NaN \(rows 3\)"),
        (X * 0, "base must have .*direction.*48 rows with only zeros"),
        (X[:, :3], "base must have as many columns as x, 8; got 3"),
        (X.astype(str), "base must hold real numbers"),
        (X[0], "base must have two axes"),
    ]:
        with pytest.raises(InputError, match=message):
            knn_graph(X, k=2, base=base)
    with pytest.raises(InputError, match="k = 49 and too few points: 48"):
        knn_graph(X, k=49, base=X)


@pytest.mark.parametrize("k", [N, N + 1, 10**9])
def test_more_neighbours_than_points_are_refused(k: int) -> None:
    for measure in (knn_graph, nnk_graph, manifold_metrics, local_pca, levina_bickel):
        with pytest.raises(InputError, match=rf"{k}\b.*(48|1 smaller)"):
            measure(X, k=k)
    with pytest.raises(InputError, match=f"k = {k} and too few points: 48"):
        knn_accuracy(X, LABELS, k=k)


@pytest.mark.parametrize("k", [0, -1])
def test_no_neighbours_are_refused(k: int) -> None:
    for measure in (knn_graph, nnk_graph, manifold_metrics, local_pca, levina_bickel):
        with pytest.raises(InputError, match=f"k must be .*at least [12].*got {k}"):
            measure(X, k=k)
    with pytest.raises(InputError, match="k must be"):
        knn_accuracy(X, LABELS, k=k)


def _labels(position: int, label: object, dtype: Any = object) -> np.ndarray:
    labels = LABELS.astype(dtype)
    labels[position] = label
    return labels


GROUPED = {
    "knn": lambda groups: knn_graph(X, k=2, groups=groups),
    "nnk": lambda groups: nnk_graph(X, k=2, groups=groups),
    "manifold": lambda groups: manifold_metrics(X, k=2, groups=groups),
    "local pca": lambda groups: local_pca(X, k=2, groups=groups),
    "two nn": lambda groups: two_nn(X, groups=groups),
    "levina bickel": lambda groups: levina_bickel(X, k=2, groups=groups),
    "lidar": lambda groups: lidar(X, groups),
    "alignment": lambda groups: alignment(X, groups),
    "mean cosine": lambda groups: mean_cosine(X, groups=groups),
    "knn accuracy": lambda groups: knn_accuracy(X, groups, k=2),
}


def _letters() -> Iterator[str]:
    return (str(label) for label in LABELS)


def _last_but(label: object) -> list[object]:
    return [*list(_letters())[:-1], label]


BAD_GROUPS: dict[str, tuple[Any, str]] = {
    "one too few": (LABELS[1:], r"one label for each of the 48 points; got shape \(47,\)"),
    "two axes": (np.stack([LABELS, LABELS], axis=1), r"got shape \(48, 2\)"),
    "no labels": ([], r"got shape \(0,\)"),
    "one label": ("a", "got str"),
    "a generator": (_letters(), "got generator"),
    "a dictionary": (dict(enumerate(LABELS)), "got dict"),
    "a pair a point": ([(int(label), 1) for label in LABELS], r"got shape \(48, 2\)"),
    "pairs of unequal length": ([[1], [1, 2]] * 24, "NumPy cannot make an array of the list"),
    "None": (_labels(7, None).tolist(), r"no label in 1 rows \(rows 7\)"),
    "NaN": (_labels(7, np.nan, float), r"no label in 1 rows \(rows 7\)"),
    "NaN among strings": (_last_but(float("nan")), r"no label in 1 rows \(rows 47\)"),
    "None among strings": (_last_but(None), r"no label in 1 rows \(rows 47\)"),
    "pandas' NA": (pd.array(_labels(7, None).tolist(), "Int64"), r"no label in 1 rows \(rows 7\)"),
    "NA among strings": (pd.array(_last_but(pd.NA), "string"), r"\(rows 47\)"),
    "no category": (pd.Categorical(_labels(7, None).tolist()), r"no label in 1 rows \(rows 7\)"),
    "masked": (np.ma.masked_array(LABELS, LABELS == 2), r"no label in 4 rows \(rows 8, 9, 10, 11"),
    "numbers and strings": ([1, "1"] * 24, "all integers or all strings; got int in 24 rows"),
    "paths": ([Path(label) for label in _letters()], "Convert the labels to strings"),
    "fractions": (LABELS + 0.5, "fractions or infinity in 48 rows"),
    "infinity": (_labels(7, np.inf, float), r"fractions or infinity in 1 rows \(rows 7\)"),
    "floats beyond 64 bits": (LABELS * 1e300, "fit into 64 bits; got larger numbers in 44 rows"),
    "integers beyond 64 bits": (_labels(7, 10**30), r"fit into 64 bits.*1 rows \(rows 7\)"),
    "complex": (LABELS.astype(complex), "got dtype complex128"),
    "dates": (LABELS.astype("M8[D]"), "got dtype datetime64.*Convert the labels to strings"),
}


@pytest.mark.parametrize("measure", GROUPED)
@pytest.mark.parametrize("kind", BAD_GROUPS)
def test_bad_groups_are_refused(kind: str, measure: str) -> None:
    groups, message = BAD_GROUPS[kind]
    with pytest.raises(InputError, match=message):
        GROUPED[measure](groups)


GOOD_GROUPS: dict[str, Any] = {
    "a list": LABELS.tolist(),
    "a tuple": tuple(LABELS.tolist()),
    "uint8": LABELS.astype(np.uint8),
    "uint64": LABELS.astype(np.uint64) + np.uint64(2**63),
    "near the end of int64": LABELS + (2**63 - 100),
    "negative": LABELS - 100,
    "whole floats": LABELS.astype(np.float16),
    "objects": LABELS.astype(object),
    "a device": jnp.asarray(LABELS),
    "read-only": np.broadcast_to(LABELS, (2, N))[1],
    "every other": np.repeat(LABELS, 2)[::2],
    "strings": np.char.zfill(LABELS.astype(str), 2),
    "list of strings": [f"{label:02}" for label in LABELS],
    "objects of strings": np.array([f"{label:02}" for label in LABELS], object),
    "NumPy's strings of any length": np.array(
        [f"{label:02}" for label in LABELS], np.dtypes.StringDType()
    ),
    "bytes": np.char.zfill(LABELS.astype("S"), 2),
    "list of bytes": [f"{label:02}".encode() for label in LABELS],
    "beyond ASCII": [f"ü{label:02}" for label in LABELS],
    "a series with another index": pd.Series(LABELS, index=np.arange(N)[::-1]),
    "nullable integers": pd.array(LABELS, dtype="Int64"),
    "nullable strings": pd.array([f"{label:02}" for label in LABELS], dtype="string"),
    "categories": pd.Categorical([f"{label:02}" for label in LABELS]),
    "categories out of order": pd.Categorical(LABELS, categories=range(20, -1, -1)),
}


@pytest.mark.parametrize("kind", GOOD_GROUPS)
def test_any_labels_name_the_same_groups(kind: str) -> None:
    groups = encode_groups(GOOD_GROUPS[kind], N)
    np.testing.assert_array_equal(groups.codes, LABELS)
    assert groups.sizes.tolist() == [4] * 12


def test_groups_of_one_point_are_named_or_skipped() -> None:
    lonely = LABELS.copy()
    lonely[0] = 99
    for name in ("knn", "nnk", "manifold", "local pca", "levina bickel", "lidar", "alignment"):
        with pytest.raises(InputError, match="99"):
            GROUPED[name](lonely)
    result = two_nn(X, groups=lonely)
    assert result.valid.tolist() == [True] * 12 + [False] and np.isnan(result.dimension[-1])
    # A label of its own can never win the vote, and its pairs are all with other groups.
    assert not GROUPED["knn accuracy"](lonely).correct[0]
    assert abs(GROUPED["mean cosine"](lonely)) < 1


def test_empty_groups_do_not_exist() -> None:
    # Categories that no point has are no groups, so there is nothing to refuse.
    groups = encode_groups(pd.Categorical(LABELS, categories=range(50)), N)
    assert len(groups) == 12


def test_a_group_of_copies_has_no_shape() -> None:
    points, (copies,) = X.copy(), np.nonzero(GROUPS == 4)
    others = np.setdiff1d(np.arange(N), copies)
    points[copies] = points[copies[0]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        # As in MEASURES, so that nothing is compiled for this test.
        metrics = manifold_metrics(points, k=K, kernel="gaussian", normalize=False, groups=GROUPS)
    assert metrics.degenerate[copies].all() and np.isnan(metrics.nnk_affinity[copies]).all()
    assert np.isnan(metrics.nnk_diameter[copies]).all() and (metrics.duplicates[copies] == 1).all()
    # Of all others only those with a single neighbour lack a value: their diameter.
    np.testing.assert_array_equal(metrics.degenerate[others], metrics.nnk_degree[others] < 2)
    result = two_nn(points, groups=GROUPS)
    expected = np.unique(GROUPS) != 4
    np.testing.assert_array_equal(result.valid, expected)
    assert result.left_out[~expected] == 11
    with pytest.raises(InputError, match=r"too few distinct points in the groups 4 \(1\)"):
        knn_graph(points, k=2, groups=GROUPS, duplicates="drop")
