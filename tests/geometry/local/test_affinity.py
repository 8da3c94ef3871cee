"""Subspace affinity from Gram matrices against orthonormal bases of the points."""

from __future__ import annotations

import numpy as np
import pytest

from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.local.affinity import (
    affinity,
    inverse_on_span,
    null_partners,
    pair_overlap,
)
from mgm_jax.geometry.local.spans_on_cpu import inverses_on_host

M, P, D = 10, 6, 5


def _group(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, places of their neighbours, and which count; 6 differences in 5-d are dependent."""
    random = np.random.default_rng(seed)
    points = random.normal(size=(M, D))
    points -= points.mean(axis=0)
    others = np.stack([random.permutation(np.delete(np.arange(M), i))[:P] for i in range(M)])
    mask = np.arange(P) < random.integers(1, P + 1, size=(M, 1))
    return points, others.astype(np.int32), mask


def _basis(differences: np.ndarray) -> np.ndarray:
    left, values, _ = np.linalg.svd(differences.T, full_matrices=False)
    return left[:, values > 1e-6 * values[0]]


def _inverses(points, others, mask) -> tuple[np.ndarray, np.ndarray]:
    differences = points[others] - points[:, None]
    gram = differences @ differences.transpose(0, 2, 1)
    with double_precision():
        return tuple(map(np.asarray, inverse_on_span(gram, mask, (points**2).sum(axis=1))))


def test_overlaps_are_those_of_orthonormal_bases():
    points, others, mask = _group()
    inverse, dimension = _inverses(points, others, mask)
    bases = [_basis((points[o] - p)[m]) for p, o, m in zip(points, others, mask, strict=True)]
    assert dimension.tolist() == [basis.shape[1] for basis in bases]
    differences = points[others] - points[:, None]
    with double_precision():
        cross = differences[:1] @ differences.transpose(0, 2, 1)
        got = np.asarray(pair_overlap(cross, inverse[:1], inverse))
    np.testing.assert_allclose(got, [np.sum((bases[0].T @ b) ** 2) for b in bases], atol=1e-9)


def test_the_host_finds_the_spans_of_the_device():
    # Nine independent vectors, six of which five span, copies of one, and none at all.
    random = np.random.default_rng(0)
    vectors = random.normal(size=(40, 9, 12))
    vectors[10:20, 5] = vectors[10:20, 0] - vectors[10:20, 1]
    vectors[20:25] = vectors[20:25, :1]
    vectors[25:28] = 0
    counts = random.integers(1, 10, 40)
    counts[10:20], counts[30:33] = 6, 0
    gram, mask = vectors @ vectors.transpose(0, 2, 1), np.arange(9) < counts[:, None]
    with double_precision():
        inverse, dimension = inverses_on_host(gram, mask, np.ones(40))
        expected = tuple(map(np.asarray, inverse_on_span(gram, mask, np.ones(40))))
    np.testing.assert_array_equal(dimension, expected[1])
    assert (dimension[10:20] == 5).all() and not dimension[25:28].any()
    # Projectors are the same whichever of dependent vectors are taken.
    projectors = [vectors.transpose(0, 2, 1) @ one @ vectors for one in (inverse, expected[0])]
    np.testing.assert_allclose(*projectors, atol=1e-9)


def test_vanishing_differences_span_nothing():
    inverse, dimension = _inverses(np.ones((M, D)), *_group()[1:])
    assert not inverse.any() and not dimension.any()


def test_directions_below_the_rounding_of_the_points_do_not_count():
    gram = np.diag([1e-3, 5e-15, 1e-16])[None]
    mask = np.ones((1, 3), bool)
    with double_precision():
        by_length = [
            int(inverse_on_span(gram, mask, np.array([length]))[1][0]) for length in (1e-3, 1.0)
        ]
    assert by_length == [2, 1]


@pytest.mark.parametrize("dimensions", [(2, 2), (3, 8), (10, 4)])
def test_excess_of_random_subspaces_is_zero_on_average(dimensions):
    random = np.random.default_rng(1)
    width, draws = 40, 400
    bases = [
        np.linalg.qr(random.normal(size=(draws, width, dimension)))[0] for dimension in dimensions
    ]
    overlap = ((bases[0].transpose(0, 2, 1) @ bases[1]) ** 2).sum(axis=(1, 2))
    raw, excess = affinity(overlap, *(np.full(draws, d) for d in dimensions), width=width)
    chance = max(dimensions) / width
    np.testing.assert_allclose(np.mean(np.asarray(raw) ** 2), chance, atol=0.02)
    assert abs(float(np.mean(np.asarray(excess)))) < 0.02


def test_affinity_is_undefined_without_directions_and_the_excess_without_room():
    raw, excess = affinity(
        np.array([0.0, 3.0, 1.0]), np.array([0, 3, 1]), np.array([2, 3, 2]), width=3
    )
    assert np.isnan(np.asarray(raw)).tolist() == [True, False, False]
    assert np.isnan(np.asarray(excess)).tolist() == [True, True, False]
    assert np.asarray(raw)[1:].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("size", [2, 5, 40])
def test_random_partners_are_others_met_equally_often(size):
    partners = null_partners(size, seed=(3, size))
    assert partners.shape == (size, min(8, size - 1))
    assert (partners != np.arange(size)[:, None]).all()
    assert all(np.unique(row).size == row.size for row in partners)
    assert (np.bincount(partners.ravel(), minlength=size) == partners.shape[1]).all()


def test_random_partners_depend_on_the_seed_alone():
    assert (null_partners(30, seed=(1, 2)) == null_partners(30, seed=(1, 2))).all()
    assert (null_partners(30, seed=(1, 2)) != null_partners(30, seed=(1, 3))).any()
