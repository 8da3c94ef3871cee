"""Shortlists hold what a full sort of everything offered would put first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.geometry.knn.cpu.shortlist import Shortlists, rough_limits


def head(bounds: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The smallest of every row, of equal ones the first."""
    names = np.argsort(bounds, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(bounds, names, axis=1), names


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 40),
    tile=st.sampled_from([1, 7, 30, 200]),
    levels=st.sampled_from([1, 3, 10**6]),
    columns_first=st.booleans(),
)
def test_tiles_one_by_one_are_one_sort(
    seed: int, count: int, tile: int, levels: int, columns_first: bool
) -> None:
    rng = np.random.default_rng(seed)
    bounds = rng.integers(0, levels, (25, 400)).astype(np.float32)
    lists = Shortlists(25, count=count)
    for start in range(0, 400, tile):
        part = bounds[:, start : start + tile]
        if columns_first:
            lists.offer_columns(0, start, np.ascontiguousarray(part.T))
        else:
            lists.offer(0, start, part)
    found, names, _ = lists.results()
    values, first = head(bounds, count)
    np.testing.assert_array_equal(found, values)
    # Of equal bounds any may be listed; what is listed has the bound it is listed with.
    np.testing.assert_array_equal(np.take_along_axis(bounds, names, axis=1), values)
    assert all(len(set(row)) == count for row in names.tolist())
    if levels == 10**6 and len(np.unique(bounds)) == bounds.size:
        np.testing.assert_array_equal(names, first)


@pytest.mark.parametrize("order", [1, -1])
def test_falling_bounds_overflow_no_buffer(order: int) -> None:
    # The worst order there is: every score beats all before it.
    bounds = np.tile(np.arange(3000, 0, -1, dtype=np.float32)[::order], (4, 1))
    lists = Shortlists(4, count=5)
    lists.offer(0, 0, bounds[:, :10])
    lists.offer(0, 10, bounds[:, 10:])
    np.testing.assert_array_equal(lists.results()[0], np.tile(np.arange(1.0, 6), (4, 1)))


def test_lists_that_stay_short_say_so() -> None:
    lists = Shortlists(2, count=3)
    lists.offer(0, 0, np.array([[1, np.inf], [np.inf, np.inf]], np.float32))
    bounds, names, unseen = lists.results()
    assert np.isinf(unseen).all()
    assert bounds.tolist() == [[1, np.inf, np.inf], [np.inf] * 3]
    assert names.tolist() == [[0, -1, -1], [-1, -1, -1]]


def test_part_of_the_rows_is_offered() -> None:
    lists = Shortlists(6, count=2)
    lists.offer(4, 10, np.array([[3, 1, 2], [9, 8, 7]], np.float32))
    assert lists.results()[1][4:].tolist() == [[11, 12], [12, 11]]
    assert (lists.results()[1][:4] == -1).all()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 30),
    more=st.integers(0, 100),
    levels=st.sampled_from([1, 3, 10**6]),
    missing=st.sampled_from([0.0, 0.5, 1.0]),
)
def testrough_limits_let_enough_pass(
    seed: int, count: int, more: int, levels: int, missing: float
) -> None:
    rng = np.random.default_rng(seed)
    bounds = rng.integers(0, levels, (9, 4 * count + more)).astype(np.float32)
    bounds[rng.random(bounds.shape) < missing] = np.inf
    limits = rough_limits(bounds, count)
    assert ((bounds <= limits[:, None]).sum(axis=1) >= count).all()


def test_a_first_tile_leaves_a_limit_in_every_row() -> None:
    lists = Shortlists(50, count=20)
    bounds = np.random.default_rng(0).random((50, 300), np.float32)
    lists.offer(0, 0, bounds)
    np.testing.assert_array_equal(lists._limits, np.sort(bounds, axis=1)[:, 19])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 60),
    tile=st.sampled_from([20, 50, 200]),
    levels=st.sampled_from([1, 3, 10**6]),
    columns_first=st.booleans(),
    ordered=st.booleans(),
)
def test_what_a_list_of_shuffled_points_lacks_lies_above_its_limit(
    seed: int, count: int, tile: int, levels: int, columns_first: bool, ordered: bool
) -> None:
    rng = np.random.default_rng(seed)
    bounds = rng.integers(0, levels, (25, 400)).astype(np.float32)
    if ordered:
        # Worse than any order that a random one can be.
        bounds = -np.sort(-bounds, axis=1)
    lists = Shortlists(25, count=count, shuffled=400)
    for start in range(0, 400, tile):
        part = bounds[:, start : start + tile]
        if columns_first:
            lists.offer_columns(0, start, np.ascontiguousarray(part.T))
        else:
            lists.offer(0, start, part)
    found, names, unseen = lists.results()
    for row, listed, least, values in zip(bounds, names, unseen, found, strict=True):
        known = listed >= 0
        np.testing.assert_array_equal(row[listed[known]], values[known])
        assert np.isinf(values[~known]).all() and (np.diff(values[known]) >= 0).all()
        assert np.delete(row, listed[known]).min(initial=np.inf) >= least


def test_lists_of_shuffled_points_are_long_enough() -> None:
    bounds = np.random.default_rng(0).random((500, 6000), np.float32)
    lists = Shortlists(500, count=100, shuffled=6000)
    for start in range(0, 6000, 600):
        lists.offer(0, start, bounds[:, start : start + 600])
    found, _, unseen = lists.results()
    # A few of the last may be missing in a few rows, and then the limit says so.
    assert np.isfinite(found[:, :90]).all() and np.isfinite(found).mean() > 0.999
    assert (unseen >= np.sort(bounds, axis=1)[:, 89]).all()
