"""Diameter and radius against distances of the points themselves."""

from __future__ import annotations

import numpy as np

from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.local.polytope import diameter, radius
from mgm_jax.geometry.nnk.gram_distances import squared_distances

POINTS = np.random.default_rng(0).normal(size=(3, 7, 5))
"""Three batches: a point and six candidates in 5-d."""
SUPPORT = np.array([[1, 0, 1, 1, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]], bool)


def _gram() -> np.ndarray:
    differences = POINTS[:, 1:] - POINTS[:, :1]
    return differences @ differences.transpose(0, 2, 1)


def _distances() -> np.ndarray:
    return np.linalg.norm(POINTS[:, 1:, None] - POINTS[:, None, 1:], axis=-1)


def test_squared_distances_are_those_of_the_points():
    with double_precision():
        got = np.asarray(squared_distances(_gram()))
    np.testing.assert_allclose(got, _distances() ** 2, atol=1e-12)
    assert not np.diagonal(got, axis1=1, axis2=2).any()


def test_diameter_is_the_largest_distance_between_neighbours():
    with double_precision():
        got = np.asarray(diameter(_distances() ** 2, SUPPORT))
    expected = _distances()[0][np.ix_([0, 2, 3], [0, 2, 3])].max()
    # One neighbour, or none, has no distance to another.
    np.testing.assert_allclose(got, [expected, np.nan, np.nan], atol=1e-12)


def test_radius_is_the_largest_distance_to_a_neighbour():
    own = np.linalg.norm(POINTS[:, 1:] - POINTS[:, :1], axis=-1)
    with double_precision():
        got = np.asarray(radius(own**2, SUPPORT))
    np.testing.assert_allclose(got, [own[0, [0, 2, 3]].max(), own[1, 3], np.nan], atol=1e-12)
