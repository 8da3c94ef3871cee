"""Point clouds of the kinds that embeddings come in, and what is computed from them plainly."""

from __future__ import annotations

import numpy as np

KINDS = ("random", "low_dimension", "relu", "views_1e-2", "views_1e-3", "clustered", "flat_2")


def cloud(kind: str, *, n: int = 240, seed: int = 0) -> np.ndarray:
    """Points ``[n, d]`` float32 of a kind of :data:`KINDS`; ``flat_2`` is a plane in 512-d."""
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return random.normal(size=shape)

    if kind == "random":
        points = normal(n, 64)
    elif kind == "low_dimension":
        points = normal(n, 6)
    elif kind == "relu":
        points = np.maximum(normal(n, 20) @ normal(20, 2048) / 4.5 + 0.3 * normal(n, 2048), 0)
    elif kind.startswith("views_"):
        noise = float(kind.removeprefix("views_"))
        points = np.repeat(normal(n // 40, 512), 40, axis=0) + noise * normal(n, 512)
    elif kind == "clustered":
        points = np.repeat(2 * normal(n // 30, 128), 30, axis=0) + 0.1 * normal(n, 128)
    elif kind == "flat_2":
        points = 5 * normal(1, 512) + normal(n, 2) @ normal(2, 512)
    else:
        raise KeyError(kind)
    return points.astype(np.float32)


def unit(points: np.ndarray) -> np.ndarray:
    """Rows on the unit sphere, float64."""
    wide = points.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def squared_gaps(points: np.ndarray) -> np.ndarray:
    """Squared distances of all pairs from differences, float64."""
    wide = points.astype(np.float64)
    return np.stack([((wide - row) ** 2).sum(axis=1) for row in wide])


def nearest(gaps: np.ndarray, k: int) -> np.ndarray:
    """The k nearest others of every point, ties to the smaller index."""
    gaps = gaps.copy()
    np.fill_diagonal(gaps, np.inf)
    return np.argsort(gaps, axis=1, kind="stable")[:, :k]
