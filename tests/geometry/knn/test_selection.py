"""The blocked selection finds what a full sort finds."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.geometry.knn.selection import merge_smallest, order_by_distance, smallest


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "count"), [(512, 5), (160, 5), (100, 7), (32, 32), (48, 1)])
@pytest.mark.parametrize("levels", [4, 10_000])
def test_smallest_is_the_head_of_a_sort(columns: int, count: int, levels: int) -> None:
    # Few levels make many ties, at which whole blocks have equal minima.
    scores = np.random.default_rng(columns).integers(0, levels, (9, columns)).astype(np.float32)
    values, chosen = smallest(jnp.asarray(scores), count=count)
    np.testing.assert_array_equal(values, np.sort(scores, axis=1)[:, :count])
    np.testing.assert_array_equal(np.take_along_axis(scores, np.asarray(chosen), 1), values)
    assert all(len(set(row)) == count for row in np.asarray(chosen).tolist())


def test_infinity_is_selected_last() -> None:
    scores = np.full((1, 64), np.inf, np.float32)
    scores[0, 50] = 3
    values, chosen = smallest(jnp.asarray(scores), count=2)
    assert np.asarray(values).tolist() == [[3, np.inf]] and int(chosen[0, 0]) == 50


def test_merging_two_selections() -> None:
    first = jnp.array([[1.0, 4.0]]), jnp.array([[7, 3]])
    second = jnp.array([[2.0, 3.0]]), jnp.array([[9, 8]])
    values, indices = merge_smallest(first, second)
    assert values.tolist() == [[1, 2]] and indices.tolist() == [[7, 9]]


def test_equal_distances_go_by_index() -> None:
    distances, indices = order_by_distance(
        jnp.array([[2.0, 1.0, 1.0, 2.0]]), jnp.array([[1, 9, 4, 0]]), count=3
    )
    assert distances.tolist() == [[1, 1, 2]] and indices.tolist() == [[4, 9, 0]]
