"""Neighbours from one Gram matrix: those of the scan, to the last bit, and nothing compiled."""

from __future__ import annotations

import numpy as np
import pytest

from mgm_jax.geometry.knn.cpu import by_gram
from mgm_jax.geometry.knn.cpu.by_gram import nearest_by_gram
from mgm_jax.geometry.knn.cpu.by_pairs import nearest_by_pairs
from mgm_jax.geometry.knn.distance import METRICS, Metric
from mgm_jax.geometry.knn.selection import NOBODY
from mgm_jax.geometry.knn.tile import SearchOptions
from tests.compilations import compiled
from tests.geometry.neighbour_oracle import clouds, nearest


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", list(clouds()))
def test_the_matrix_and_the_scan_find_the_same(kind: str, metric: Metric) -> None:
    x = clouds()[kind]
    ours = nearest_by_gram(x, k=7, metric=metric)
    other = nearest_by_pairs(
        x, None, SearchOptions(k=7, metric=metric, precision="float32", tile_rows=32)
    )
    np.testing.assert_array_equal(ours.indices, other.indices)
    np.testing.assert_array_equal(ours.distances, other.distances)


def test_pairs_far_closer_than_the_cloud_is_wide_keep_their_digits() -> None:
    random = np.random.default_rng(0)
    x = (1e4 * random.normal(size=(60, 1, 64)) + random.normal(size=(60, 2, 64))).reshape(120, 64)
    x = x.astype(np.float32)
    found = nearest_by_gram(x, k=1, metric="euclidean")
    expected = np.linalg.norm(x[::2].astype(np.float64) - x[1::2], axis=1)
    np.testing.assert_array_equal(found.distances[::2, 0], expected.astype(np.float32))


def test_rows_that_the_limit_cuts_short_are_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # Twenty points in each of five places that float32 cannot tell apart from afar.
    random = np.random.default_rng(1)
    x = np.repeat(random.normal(size=(5, 30)), 20, axis=0) + 1e-5 * random.normal(size=(100, 30))
    x = x.astype(np.float32)
    monkeypatch.setattr(by_gram, "_MARGIN", 0)
    found = nearest_by_gram(x, k=7, metric="sqeuclidean")
    assert not found.certified.all()
    indices, distances = nearest(x, k=7, metric="sqeuclidean")
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.distances, distances, rtol=2.0**-23)


def test_nothing_is_compiled_and_places_beyond_the_points_stay_open() -> None:
    x = np.random.default_rng(0).normal(size=(5, 37)).astype(np.float32)
    with compiled() as programs:
        found = nearest_by_gram(x, k=6, metric="cosine")
    assert not programs
    assert (found.indices[:, 4:] == NOBODY).all() and np.isinf(found.distances[:, 4:]).all()
    np.testing.assert_array_equal(found.indices[:, :4], nearest(x, k=4, metric="cosine")[0])
