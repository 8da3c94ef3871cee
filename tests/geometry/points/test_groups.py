"""Codes for labels, and batches of groups."""

from __future__ import annotations

from enum import Enum

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.errors import InputError
from mgm_jax.geometry.points.groups import (
    column_texts,
    encode_groups,
    group_batches,
    padded_size,
)


class Name(str, Enum):  # noqa: UP042 (what users have, and what str() makes a mess of)
    first = "a"
    second = "b"


labels = st.lists(st.integers(-5, 5), min_size=1, max_size=60)


@given(labels)
@settings(max_examples=20, deadline=None)
def test_codes_are_what_numpy_finds(values: list[int]) -> None:
    groups = encode_groups(values, len(values))
    expected, codes, sizes = np.unique(values, return_inverse=True, return_counts=True)
    np.testing.assert_array_equal(groups.values, expected)
    np.testing.assert_array_equal(groups.codes, codes)
    np.testing.assert_array_equal(groups.sizes, sizes)
    assert groups.codes.dtype == np.int32


@pytest.mark.parametrize("kind", ["int64", "float32", "bfloat16", "gradient"])
def test_tensors_of_torch_are_labels(kind: str) -> None:
    torch = pytest.importorskip("torch")
    values = torch.tensor([2.0, 1.0, 2.0], requires_grad=kind == "gradient")
    values = values if kind == "gradient" else values.to(getattr(torch, kind))
    assert encode_groups(values, 3).codes.tolist() == [1, 0, 1]


def test_no_groups_are_one_group() -> None:
    groups = encode_groups(None, 4)
    assert len(groups) == 1 and groups.codes.tolist() == [0] * 4 and groups.sizes.tolist() == [4]


@pytest.mark.parametrize(
    "values",
    [
        ["b", "a", "b"],
        np.array(["b", "a", "b"], object),
        np.array([2.0, 1.0, 2.0]),
        np.array([2, 1, 2], object),
        np.array([True, False, True]),
        np.array([2.0, 1, True], object) + np.array([0, 0, 1]),
        pd.Categorical(["b", "a", "b"]),
        pd.Series(["b", "a", "b"], dtype="string"),
        pd.array([2, 1, 2], dtype="Int64"),
        pd.array([2.0, 1.0, 2.0], dtype="Float64"),
        pd.Index([2, 1, 2]),
        jnp.array([2, 1, 2]),
        # NumPy would take what str() says, "Name.second", cut to the length of the values.
        [Name.second, Name.first, Name.second],
        np.array([[2], [1], [2]]),
        pd.DataFrame({"class": ["b", "a", "b"]}),
    ],
)
def test_any_names_will_do(values: object) -> None:
    assert encode_groups(values, 3).codes.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([2.0, 1.0, np.nan], ["2", "1", ""]),
        (["01", None, Name.first], ["01", "", "a"]),
        (np.array([b"a", b"\xff"]), ["a", "\\xff"]),
        (np.ma.masked_array([3, 4], mask=[False, True]), ["3", ""]),
        (pd.Series([1, None], dtype="Int64"), ["1", ""]),
        (list(jnp.array([1, 0])), ["1", "0"]),
    ],
)
def test_texts_are_what_a_person_would_write(values: object, texts: list[str]) -> None:
    assert column_texts(values, name="labels") == texts


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2], r"3 points.*\(2,\)"),
        ([1.0, np.nan, 2.0], r"no label in 1 rows \(rows 1\)"),
        (np.array(["a", None, np.nan], object), r"no label in 2 rows \(rows 1, 2\)"),
        ([0.5, 1.0, 1.0], "fractions"),
        ([np.inf, 1.0, 1.0], "infinity"),
        (np.array(["a", 1, "b"], object), r"got int in 1 rows \(rows 1\); str in 2 rows"),
        (np.zeros(3, complex), "complex"),
        (pd.Categorical(["a", None, "b"]), r"no label in 1 rows \(rows 1\)"),
        (pd.array([1, 2, None], dtype="Int64"), r"no label in 1 rows \(rows 2\)"),
        (pd.Series([None, "a", "b"], dtype="string"), r"no label in 1 rows \(rows 0\)"),
        ([1, None, 2.0], r"no label in 1 rows \(rows 1\)"),
        ([1.5, 1, True], r"fractions or infinity in 1 rows \(rows 0\)"),
    ],
)
def test_unusable_labels_are_described(values: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        encode_groups(values, 3)


@given(labels, st.integers(1, 200))
@settings(max_examples=30, deadline=None)
def test_batches_hold_every_point_once(values: list[int], max_points: int) -> None:
    groups = encode_groups(values, len(values))
    shapes: dict[int, int] = {}
    seen = []
    for batch in group_batches(groups, max_points=max_points):
        count, m = batch.rows.shape
        assert shapes.setdefault(m, count) == count, "one number of groups for each padded size"
        assert count * m <= max_points or count == 1
        np.testing.assert_array_equal(batch.mask, batch.rows >= 0)
        for code, rows, mask in zip(batch.groups, batch.rows, batch.mask, strict=True):
            if code < 0:
                assert not mask.any()
                continue
            np.testing.assert_array_equal(rows[mask], np.flatnonzero(groups.codes == code))
            assert m == padded_size(int(mask.sum()))
            seen.extend(rows[mask])
    assert sorted(seen) == list(range(len(values)))


def test_many_sizes_make_few_shapes() -> None:
    sizes = np.arange(2, 300)
    groups = encode_groups(np.repeat(np.arange(sizes.size), sizes), int(sizes.sum()))
    shapes = {batch.rows.shape for batch in group_batches(groups, max_points=4096)}
    assert len(shapes) <= 8 + 6 + 1


def test_a_batch_needs_room() -> None:
    with pytest.raises(InputError, match="max_points"):
        next(group_batches(encode_groups(None, 3), max_points=0))


def test_errors_call_the_labels_what_the_caller_does() -> None:
    with pytest.raises(InputError, match=r"^labels must hold one label for each of the 3"):
        encode_groups([1], 3, name="labels")
