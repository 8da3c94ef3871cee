"""Neighbours within small groups by their Gram matrices, against differences and the other way."""

from __future__ import annotations

import numpy as np
import pytest

from mgm_jax.geometry.knn import search as knn_search
from mgm_jax.geometry.knn.cpu.in_small_groups import are_small, nearest_in_small_groups
from mgm_jax.geometry.knn.graph import knn_graph
from mgm_jax.geometry.knn.selection import NOBODY
from mgm_jax.geometry.points.groups import encode_groups
from tests.geometry.neighbour_oracle import clouds, nearest, unequal_groups

pytestmark = pytest.mark.filterwarnings("ignore:.*equal an earlier row")


@pytest.mark.parametrize("kind", list(clouds()))
def test_the_graph_is_exact_and_that_of_the_other_way(kind, monkeypatch):
    x = clouds()[kind]
    groups = unequal_groups(len(x))
    graph = knn_graph(x, k=6, metric="euclidean", groups=groups)
    indices, distances = nearest(x, k=6, metric="euclidean", groups=groups)
    np.testing.assert_array_equal(graph.indices, indices)
    np.testing.assert_allclose(graph.distances, distances, rtol=2.0**-23)
    monkeypatch.setattr(knn_search, "are_small", lambda points, groups: False)
    other = knn_graph(x, k=6, metric="euclidean", groups=groups)
    np.testing.assert_array_equal(graph.indices, other.indices)
    np.testing.assert_array_equal(graph.distances, other.distances)


def test_pairs_far_closer_than_their_group_is_wide_keep_their_digits():
    random = np.random.default_rng(0)
    x = (1e4 * random.normal(size=(20, 1, 64)) + random.normal(size=(20, 2, 64))).reshape(40, 64)
    x = x.astype(np.float32)
    found = nearest_in_small_groups(x, encode_groups(None, 40), k=1)
    expected = np.linalg.norm(x[::2].astype(np.float64) - x[1::2], axis=1)
    np.testing.assert_array_equal(found.distances[::2, 0], expected.astype(np.float32))
    np.testing.assert_array_equal(found.distances[1::2, 0], expected.astype(np.float32))


def test_ties_go_to_the_first_and_a_small_group_leaves_places_open():
    x = np.array([[0.0], [1], [-1], [2], [5], [6]], np.float32)
    found = nearest_in_small_groups(x, encode_groups([0, 0, 0, 0, 1, 1], 6), k=2)
    assert found.indices.tolist() == [
        [1, 2],
        [0, 3],
        [0, 1],
        [1, 0],
        [5, NOBODY],
        [4, NOBODY],
    ]
    assert found.distances[4].tolist() == [1, np.inf]


def test_large_groups_and_extreme_sizes_go_another_way():
    x = np.ones((300, 1), np.float32)
    assert not are_small(x, encode_groups(None, 300))
    halves = encode_groups(np.arange(300) // 150, 300)
    assert are_small(x, halves)
    assert not are_small(x * np.float32(1e20), halves)
    assert not are_small(x * np.float32(1e-20), halves)
