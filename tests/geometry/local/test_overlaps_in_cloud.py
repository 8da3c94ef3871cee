"""Overlaps of polytopes of a cloud, on a CPU and on devices, against orthonormal bases."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.local import overlaps_in_cloud
from mgm_jax.geometry.local.affinity import affinity, inverse_on_span
from mgm_jax.geometry.local.overlaps_in_cloud import CloudOverlaps
from mgm_jax.geometry.local.polytopes_in_cloud import CloudPolytopes
from mgm_jax.geometry.local.projectors_in_cloud import CloudProjectors
from mgm_jax.metrics.large_groups import Subspaces, compare_rows

N, D, P, NULL = 24, 9, 4, 3


def polytopes(x: np.ndarray, rng: np.random.Generator) -> Subspaces:
    """Up to four random neighbours a point, none of one point."""
    counts = rng.integers(1, P + 1, N)
    counts[3] = 0
    others = np.array([rng.permutation(np.delete(np.arange(N), row))[:P] for row in range(N)])
    present = np.arange(P) < counts[:, None]
    # Neighbours of the second are near it and not, those of the third are near.
    others[1:3] = [[0, 2, 4, 7], [0, 1, 3, 4]]
    gaps = x[others] - x[:, None]
    grams = gaps @ gaps.transpose(0, 2, 1)
    with double_precision():
        result = inverse_on_span(grams, present, np.sum(x * x, axis=1))
        return Subspaces(others.astype(np.int32), present, *map(np.asarray, result))


def basis(x: np.ndarray, spans: Subspaces, row: int) -> np.ndarray:
    gaps = x[spans.neighbours[row][spans.present[row]]] - x[row]
    return np.linalg.qr(gaps.T)[0]


@pytest.mark.parametrize("fits", [True, False])
def test_overlaps_are_those_of_orthonormal_bases(fits: bool, monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(N, D)).astype(np.float32)
    # Five points so near each other that products of the cloud's points lose digits.
    points[:5] = points[0] + 1e-4 * rng.normal(size=(5, D)).astype(np.float32)
    x = points.astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    spans = polytopes(x, rng)
    if not fits:
        monkeypatch.setattr(overlaps_in_cloud, "_GRAM_BYTES", 0)
    partners = np.tile(np.arange(N)[::-1, None], NULL).astype(np.int32)
    partners[:, 1] = -1
    others = np.concatenate([spans.neighbours, np.maximum(partners, 0)], axis=1)
    counted = np.concatenate([spans.present, partners >= 0], axis=1)
    known = CloudPolytopes(
        points=points,
        neighbours=spans.neighbours,
        present=spans.present,
        inverse=spans.inverse,
        normalize=True,
    )
    overlaps = CloudOverlaps(known)
    rows = np.arange(N)
    result = overlaps.of(rows, others, counted)
    bases = [basis(x, spans, row) for row in rows]
    expected = [[np.sum((bases[i].T @ bases[j]) ** 2) for j in others[i]] for i in rows]
    np.testing.assert_allclose(result, np.where(counted, expected, 0), atol=1e-6)
    projectors = CloudProjectors(known)
    np.testing.assert_allclose(
        projectors.of(rows, others, counted), np.where(counted, expected, 0), atol=1e-6
    )

    with double_precision():
        columns = compare_rows(
            points, Subspaces(*map(jax.device_put, spans)), rows, partners, normalize=True
        )
        near = affinity(
            np.array(expected), spans.dimension[:, None], spans.dimension[others], width=D
        )[0]
    known = spans.present & ~np.isnan(near[:, :P])
    total = np.sum(np.where(known, near[:, :P], 0), axis=1)
    mean = np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)
    np.testing.assert_allclose(columns.nnk_affinity, mean, atol=1e-6)
