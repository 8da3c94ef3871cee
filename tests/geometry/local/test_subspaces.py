"""Spans of polytopes in coordinates of their group against orthonormal bases of the points."""

from __future__ import annotations

import numpy as np
import pytest

from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.local.subspaces import (
    Axes,
    group_overlaps,
    orthonormal_basis,
    principal_axes,
    smaller_sides,
)
from mgm_jax.geometry.local.subspaces_on_cpu import overlaps_on_host

M, WIDE, NARROW = 12, 40, 5


def _group(width: int, *, size: int = M, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points, and which members are neighbours of which: from one to all others."""
    random = np.random.default_rng(seed)
    points = random.normal(size=(size, width))
    degree = random.integers(1, size, size=size)
    support = np.zeros((size, size), bool)
    for row in range(size):
        others = random.permutation(np.delete(np.arange(size), row))
        support[row, others[: degree[row]]] = True
    return points, support


def _bases(points: np.ndarray, support: np.ndarray) -> list[np.ndarray]:
    bases = []
    for point, chosen in zip(points, support, strict=True):
        left, values, _ = np.linalg.svd((points[chosen] - point).T, full_matrices=False)
        bases.append(left[:, values > 1e-6 * values[0]])
    return bases


def _prepared(points: np.ndarray, padding: int = 0) -> tuple[Axes, np.ndarray, np.ndarray]:
    centred = points - points.mean(axis=0)
    gram = np.pad(centred @ centred.T, (0, padding))[None]
    mask = np.arange(len(points) + padding)[None] < len(points)
    lengths = np.pad((points**2).sum(axis=1), (0, padding))[None]
    return principal_axes(gram, width=points.shape[1]), mask, lengths


def _overlaps(points, support, *, padding: int = 0, inside_only: bool = False):
    axes, mask, lengths = _prepared(points, padding)
    support = np.pad(support, (0, padding))[None]
    # Axes of unknown length are safe for no shortcut.
    known = np.zeros_like(axes.values) if inside_only else axes.values
    sides = smaller_sides(support, mask, known, lengths)
    with double_precision():
        parts = group_overlaps(
            axes.values[0], axes.coordinates[0], mask[0], lengths[0], *(side[0] for side in sides)
        )
        overlap, dimension = map(np.asarray, parts)
        if not inside_only:
            own, result = overlaps_on_host(axes, mask, lengths, support)
            block = np.ix_(mask[0], mask[0])
            np.testing.assert_allclose(own[0][block], overlap[block], atol=1e-10)
            np.testing.assert_array_equal(result[0, mask[0]], dimension[mask[0]])
    real = slice(0, len(points))
    return overlap[real, real], dimension[real], sides.outside[0, real]


@pytest.mark.slow
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_overlaps_are_those_of_orthonormal_bases(width, padding):
    points, support = _group(width)
    bases = _bases(points, support)
    overlap, dimension, outside = _overlaps(points, support, padding=padding)
    assert dimension.tolist() == [basis.shape[1] for basis in bases]
    expected = [[np.sum((a.T @ b) ** 2) for b in bases] for a in bases]
    np.testing.assert_allclose(overlap, expected, atol=1e-10)
    # In as many dimensions as there are points, the fewer members do; in few, only neighbours.
    wanted = 2 * support.sum(axis=1) > M - 1 if width == WIDE else np.zeros(M, bool)
    assert outside.tolist() == wanted.tolist()


def test_neighbours_and_the_other_members_say_the_same():
    points, support = _group(WIDE, seed=1)
    both = [_overlaps(points, support, inside_only=choice)[:2] for choice in (False, True)]
    np.testing.assert_allclose(both[0][0], both[1][0], atol=1e-11)
    assert both[0][1].tolist() == both[1][1].tolist()


def test_a_point_with_all_others_as_neighbours_spans_the_whole_group():
    points, _ = _group(WIDE, size=6)
    overlap, dimension, outside = _overlaps(points, ~np.eye(6, dtype=bool))
    assert outside.all() and (dimension == 5).all()
    np.testing.assert_allclose(overlap, 5, atol=1e-12)


def test_a_tight_cluster_in_a_wide_group_keeps_its_digits():
    points, support = _group(NARROW)
    points[:5] = points[0] + 1e-4 * points[:5]
    support[:4] = (np.arange(M) < 4) & ~np.eye(4, M, dtype=bool)
    bases = _bases(points, support)[:4]
    overlap = _overlaps(points, support)[0][:4, :4]
    expected = [[np.sum((a.T @ b) ** 2) for b in bases] for a in bases]
    np.testing.assert_allclose(overlap, expected, atol=1e-5)


def test_points_that_coincide_span_nothing():
    overlap, dimension, outside = _overlaps(np.ones((M, WIDE)), ~np.eye(M, dtype=bool))
    assert not overlap.any() and not dimension.any() and not outside.any()


def test_many_groups_of_unlike_sizes_at_once_are_as_each_alone():
    sizes = (M, 3, 7, 2, M - 1) * 4
    parts = [_group(WIDE, size=size, seed=seed) for seed, size in enumerate(sizes)]
    support = np.stack([np.pad(chosen, (0, M - len(chosen))) for _, chosen in parts])
    prepared = [_prepared(points, M - len(points)) for points, _ in parts]
    axes = Axes(*(np.concatenate(part) for part in zip(*(p[0] for p in prepared), strict=True)))
    mask, lengths = (np.concatenate([p[position] for p in prepared]) for position in (1, 2))
    with double_precision():
        overlap, dimension = overlaps_on_host(axes, mask, lengths, support)
    for (points, chosen), of_group, result in zip(parts, overlap, dimension, strict=True):
        bases, n = _bases(points, chosen), len(points)
        expected = [[np.sum((a.T @ b) ** 2) for b in bases] for a in bases]
        np.testing.assert_allclose(of_group[:n, :n], expected, atol=1e-10)
        assert result[:n].tolist() == [basis.shape[1] for basis in bases]


def test_directions_below_the_rounding_of_the_points_do_not_count():
    vectors = np.diag(np.sqrt([1e-3, 5e-15, 1e-16]))[None]
    mask = np.ones((1, 3), bool)
    with double_precision():
        result = [
            int(orthonormal_basis(vectors, mask, np.array([2.0**-46 * length]))[1][0])
            for length in (1e-3, 1.0)
        ]
    assert result == [2, 1]


def test_coordinates_have_the_gram_matrix_of_the_points():
    points, _ = _group(WIDE)
    axes, _, _ = _prepared(points)
    centred = points - points.mean(axis=0)
    coordinates = axes.coordinates[0]
    assert coordinates.shape == (M, M - 1)
    np.testing.assert_allclose(coordinates @ coordinates.T, centred @ centred.T, atol=1e-12)
    np.testing.assert_allclose(coordinates.T @ coordinates, np.diag(axes.values[0]), atol=1e-12)
