"""Tiles of a Gram matrix against the product of whole numbers, and on other numbers of threads."""

from __future__ import annotations

import numpy as np

from mgm_jax.geometry.backend.gram_in_tiles import gram_in_tiles


def test_tiles_make_the_whole_matrix():
    # Products of small whole numbers have no rounding; 600 rows are no whole number of tiles.
    x = np.random.default_rng(0).integers(-9, 10, (600, 7))
    np.testing.assert_array_equal(gram_in_tiles(x.astype(np.float64), workers=2), x @ x.T)


def test_last_bits_are_those_of_one_thread():
    x = np.random.default_rng(1).normal(size=(600, 331))
    result = gram_in_tiles(x, workers=3)
    np.testing.assert_array_equal(result, result.T)
    np.testing.assert_array_equal(result, gram_in_tiles(x, workers=1))
