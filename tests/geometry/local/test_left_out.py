"""Local PCA of all other members of a group against the singular values of these members."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.local.left_out import left_out_grams, left_out_pca, tail_length
from mgm_jax.geometry.local.subspaces import principal_axes
from tests.geometry.clouds import KINDS, cloud, unit

M = 24


def _padded(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    centred = points - points.mean(axis=0)
    more = M - len(points)
    lengths = np.pad((points**2).sum(axis=1), (0, more))
    return np.pad(centred @ centred.T, (0, more)), np.arange(M) < len(points), lengths


def _found(points: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    gram, mask, lengths = _padded(points)
    axes = principal_axes(gram[None], width=points.shape[1])
    tail = tail_length(gram[None], axes.values, threshold)
    with double_precision():
        parts, of_all = (
            left_out_pca(
                gram, mask, lengths, axes.values[0], axes.coordinates[0], threshold, tail=subset
            )
            for subset in (tail, None)
        )
        dimension, ratio, certain = (np.asarray(part)[: len(points)] for part in parts)
        # The first eigenvalues decide nothing.
        both = certain & np.asarray(of_all.certain)[: len(points)]
        np.testing.assert_array_equal(dimension[both], np.asarray(of_all[0])[: len(points)][both])
        assert both.sum() == certain.sum()
    return dimension, ratio, certain


def _expected(points: np.ndarray) -> np.ndarray:
    """Eigenvalues of the scatter of all others, ``[n, n - 1]``."""
    rows = [np.delete(points, row, axis=0) for row in range(len(points))]
    return np.stack(
        [np.linalg.svd(subset - subset.mean(axis=0), compute_uv=False) ** 2 for subset in rows]
    )


@pytest.mark.parametrize("size", [M, M - 3])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_certain_is_what_singular_values_give(kind, size):
    points = unit(cloud(kind)[:size])
    dimension, ratio, certain = _found(points, 0.9)
    values = _expected(points)
    total = values.sum(axis=1)
    short = np.cumsum(values, axis=1) < 0.9 * total[:, None]
    np.testing.assert_array_equal(dimension[certain], (short.sum(axis=1) + 1)[certain])
    participation = total**2 / (values**2).sum(axis=1)
    np.testing.assert_allclose(ratio[certain], participation[certain], rtol=1e-9)
    assert certain.mean() > 0.9


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rank=st.integers(1, 40),
    decay=st.floats(0, 3),
    threshold=st.floats(0.05, 1),
)
def test_no_certain_dimension_is_wrong(seed, rank, decay, threshold):
    random = np.random.default_rng(seed)
    points = random.normal(size=(M, rank)) * np.arange(1, rank + 1) ** -decay
    dimension, _, certain = _found(points, threshold)
    values = _expected(points)
    share = np.cumsum(values, axis=1) / values.sum(axis=1, keepdims=True)
    first = np.sum(share < threshold - 1e-12, axis=1) + 1
    np.testing.assert_array_equal(dimension[certain], first[certain])


def test_ties_outliers_and_points_that_coincide_are_left_in_doubt():
    simplex = np.eye(22)
    assert not _found(simplex, 0.95)[2].any()
    points = np.random.default_rng(0).normal(size=(M, 8))
    points[3] *= 1e4
    certain = _found(points, 0.9)[2]
    assert not certain[3]
    assert not _found(np.ones((M, 8)), 0.9)[2].any()


def test_one_other_member_has_no_spread():
    dimension, ratio, certain = _found(np.eye(2), 0.95)
    assert certain.all() and not dimension.any() and not ratio.any()


def test_gram_matrices_on_the_host_have_the_spectra_of_the_others():
    points = unit(cloud("random")[: M - 2])
    gram, mask, _ = _padded(points)
    positions = np.array([0, 7])
    grams = left_out_grams(np.stack([gram] * 2), np.stack([mask] * 2), positions)
    assert not grams[1, 7].any() and not grams[:, -2:].any()
    values = np.linalg.eigvalsh(grams)[:, ::-1][:, : M - 4]
    np.testing.assert_allclose(values, _expected(points)[positions, : M - 4], atol=1e-12)
