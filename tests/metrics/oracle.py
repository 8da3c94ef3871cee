"""Manifold graph metrics in plain float64 NumPy: one point after the other, bases from the SVD."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

# What float32 points cannot tell from zero; see the documentation of the rank decision.
ROUNDING = 2.0**-23


def oracle(
    points: np.ndarray,
    groups: np.ndarray,
    *,
    k: int | None = None,
    normalize: bool = True,
    widths: np.ndarray | None = None,
    threshold: float = 0.95,
) -> dict[str, np.ndarray]:
    """Columns of the record of every point, ``[n]`` each; the null over all of the group.

    ``widths`` switches from the shifted cosine to a Gaussian of these bandwidths.
    """
    placed = points.astype(np.float64)
    if normalize:
        placed = placed / np.linalg.norm(placed, axis=1, keepdims=True)
    rows = [_alone(placed, i, groups, k, widths, threshold) for i in range(len(placed))]
    bases = [_basis(placed, i, row["neighbours"]) for i, row in enumerate(rows)]
    columns: dict[str, list[float]] = {}
    for i, row in enumerate(rows):
        pairs = [_affinity(bases[i], bases[j]) for j in row.pop("neighbours")]
        # In a group of two both polytopes are the one segment between the points.
        shape = (groups == groups[i]).sum() > 2
        row["nnk_affinity"] = np.mean([raw for raw, _ in pairs]) if shape else np.nan
        rest = np.flatnonzero((groups == groups[i]) & (np.arange(len(placed)) != i))
        null = [raw for raw, _ in (_affinity(bases[i], bases[j]) for j in rest)]
        row["nnk_affinity_null"] = np.mean(null) if shape else np.nan
        defined = [excess for _, excess in pairs if shape and not np.isnan(excess)]
        row["nnk_affinity_excess"] = np.mean(defined) if defined else np.nan
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in columns.items()}


def _alone(placed, i, groups, k, widths, threshold) -> dict:
    gaps = np.linalg.norm(placed - placed[i], axis=1)
    others = np.flatnonzero((groups == groups[i]) & (np.arange(len(placed)) != i))
    candidates = others[np.argsort(gaps[others], kind="stable")][: 50 if k is None else k]
    weights, residual = _regress(placed, i, candidates, None if widths is None else widths[i])
    neighbours = candidates[weights > 1e-6]
    between = np.linalg.norm(placed[neighbours][:, None] - placed[neighbours][None], axis=-1)
    centred = placed[candidates] - placed[candidates].mean(axis=0)
    spread = np.linalg.svd(centred, compute_uv=False) ** 2
    share = np.cumsum(spread) / max(spread.sum(), 1e-300)
    return {
        "neighbours": neighbours,
        "k_effective": len(candidates),
        "nnk_degree": len(neighbours),
        "nnk_diameter": between.max() if len(neighbours) > 1 else np.nan,
        "nnk_radius": gaps[neighbours].max(),
        "nnk_residual": residual,
        "knn_distance": gaps[candidates[0]],
        "pca_dimension": int(np.argmax(share >= threshold - 1e-12)) + 1,
        "pca_participation_ratio": spread.sum() ** 2 / max((spread**2).sum(), 1e-300),
    }


def _regress(placed, i, candidates, width) -> tuple[np.ndarray, float]:
    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        gaps = ((a[:, None] - b[None]) ** 2).sum(axis=-1)
        return 1 - gaps / 4 if width is None else np.exp(-gaps / (2 * width**2))

    among = kernel(placed[candidates], placed[candidates])
    target = kernel(placed[candidates], placed[[i]])[:, 0]
    if width is None:
        lifted = np.concatenate([np.ones((len(placed), 1)), placed], axis=1) / np.sqrt(2)
        weights = nnls(lifted[candidates].T, lifted[i], maxiter=5000)[0]
    else:
        factor = np.linalg.cholesky(among)
        weights = nnls(factor.T, np.linalg.solve(factor, target), maxiter=5000)[0]
    return weights, 1 - 2 * weights @ target + weights @ among @ weights


def _basis(placed: np.ndarray, i: int, neighbours: np.ndarray) -> np.ndarray:
    left, values, _ = np.linalg.svd((placed[neighbours] - placed[i]).T, full_matrices=False)
    return left[:, values > max(1e-6 * values[0], ROUNDING * np.linalg.norm(placed[i]))]


def _affinity(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    (width, smaller), larger = first.shape, second.shape[1]
    smaller, larger = min(smaller, larger), max(smaller, larger)
    squared = np.sum((first.T @ second) ** 2) / smaller
    chance = larger / width
    excess = (squared - chance) / (1 - chance) if chance < 1 else np.nan
    return np.sqrt(squared), excess
