"""k nearest neighbours the plain way: every distance in NumPy, no scan, no tiles."""

from __future__ import annotations

import numpy as np


def all_distances(x: np.ndarray, base: np.ndarray, metric: str) -> np.ndarray:
    """Distances ``[n, m]`` from differences in extended precision, each rounded once."""
    x, base = x.astype(np.longdouble), base.astype(np.longdouble)
    if metric == "cosine":
        x = x / np.sqrt((x * x).sum(axis=1, keepdims=True))
        base = base / np.sqrt((base * base).sum(axis=1, keepdims=True))
    distances = np.stack([((base - row) ** 2).sum(axis=1) for row in x])
    if metric == "cosine":
        # Equal directions may differ by the rounding of their division by the length.
        distances = np.where(distances < 1e-24, 0, distances) / 2
    return (np.sqrt(distances) if metric == "euclidean" else distances).astype(np.float32)


def nearest(
    x: np.ndarray,
    *,
    k: int,
    metric: str,
    groups: np.ndarray | None = None,
    base: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Indices and distances ``[n, k]``; equal distances in the order of the indices."""
    distances = all_distances(x, x if base is None else base, metric)
    if base is None:
        np.fill_diagonal(distances, np.inf)
    if groups is not None:
        distances[groups[:, None] != groups[None, :]] = np.inf
    indices = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return indices, np.take_along_axis(distances, indices, axis=1)


def clouds() -> dict[str, np.ndarray]:
    """Points that make a search fail in different ways; one shape, so that it compiles once."""
    rng = np.random.default_rng(0)
    n = d = 96
    features = np.maximum(rng.standard_normal((n, d)), 0)
    views = features[rng.integers(0, 12, n)] * (1 + 1e-3 * rng.standard_normal((n, d)))
    flat, grid = np.zeros((n, d)), np.zeros((n, d))
    flat[:, :2] = rng.random((n, 2)) + 0.01
    grid[:, :3] = np.stack(np.meshgrid(*[np.arange(1.0, 6)] * 3), axis=-1).reshape(-1, 3)[:n]
    kinds = {
        "post-ReLU features": features,
        "views of few images": views,
        "far from the origin": 1000 + 0.01 * rng.standard_normal((n, d)),
        "two dimensions": flat,
        "lattice": grid,
        "all at one distance": np.eye(n),
        "repeated rows": features[rng.integers(0, 30, n)],
        "one point": np.ones((n, d)),
    }
    return {kind: points.astype(np.float32) for kind, points in kinds.items()}


def unequal_groups(n: int) -> np.ndarray:
    """Labels ``[n]`` of three groups of unequal size, interleaved."""
    return np.random.default_rng(3).permutation(np.repeat([4, -1, 9], [n - 25, 15, 10]))
