"""Points that measurements go wrong on, and every public measure as a function of points alone.

All clouds have the shape ``[48, 8]``, so that everything compiles once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mgm_jax.geometry.cloud.intrinsic_dimension import levina_bickel, two_nn
from mgm_jax.geometry.cloud.spectrum import (
    alignment,
    lidar,
    mean_cosine,
    rankme,
    spectrum,
    uniformity,
)
from mgm_jax.geometry.knn.graph import knn_graph
from mgm_jax.geometry.local.pca import local_pca
from mgm_jax.geometry.nnk.graph import nnk_graph
from mgm_jax.metrics import manifold_metrics, panel
from mgm_jax.probe.knn import knn_accuracy

N, WIDTH = 48, 8
K = 5
GROUPS = np.random.default_rng(7).permutation(np.repeat([4, -1, 9, 2], 12))

Columns = dict[str, np.ndarray]


def _knn(**options: Any) -> Callable[[Any], Columns]:
    def measure(x: Any) -> Columns:
        graph = knn_graph(x, k=K, **options)
        return {"indices": graph.indices, "distances": graph.distances}

    return measure


def _knn_among(x: Any) -> Columns:
    return _knn(metric="euclidean", base=ordinary(seed=1))(x)


def _nnk(**options: Any) -> Callable[[Any], Columns]:
    def measure(x: Any) -> Columns:
        graph = nnk_graph(x, k=K, **options)
        return {"indices": graph.indices, "weights": graph.weights, "kkt": graph.kkt}

    return measure


def _manifold(**options: Any) -> Callable[[Any], Columns]:
    def measure(x: Any) -> Columns:
        metrics = manifold_metrics(x, k=K, **options)
        return {name: getattr(metrics, name) for name in metrics.columns}

    return measure


def _local_pca(x: Any) -> Columns:
    result = local_pca(x, k=K)
    return {"dimension": result.dimension, "spectrum": result.spectrum}


def _number(function: Callable[..., float], *arguments: Any) -> Callable[[Any], Columns]:
    return lambda x: {"value": np.array(function(x, *arguments))}


MEASURES: dict[str, Callable[[Any], Columns]] = {
    "knn cosine": _knn(),
    "knn sqeuclidean": _knn(metric="sqeuclidean"),
    "knn euclidean": _knn(metric="euclidean"),
    "knn in groups": _knn(metric="euclidean", groups=GROUPS),
    "knn among a base": _knn_among,
    "nnk cosine": _nnk(),
    "nnk gaussian": _nnk(kernel="gaussian"),
    "manifold": _manifold(),
    "manifold gaussian": _manifold(kernel="gaussian", normalize=False, groups=GROUPS),
    "local pca": _local_pca,
    "two nn": lambda x: {"dimension": two_nn(x).dimension},
    "levina bickel": lambda x: {"dimension": levina_bickel(x, k=K).dimension},
    "spectrum": lambda x: {"singular_values": spectrum(x).singular_values},
    "rankme": _number(rankme),
    "lidar": _number(lidar, GROUPS),
    "alignment": _number(alignment, GROUPS),
    "uniformity": _number(uniformity),
    "mean cosine": _number(mean_cosine),
    "panel": lambda x: {name: np.array(value) for name, value in panel(x).to_dict().items()},
    "knn accuracy": lambda x: {"correct": knn_accuracy(x, GROUPS, k=K).correct},
}
"""Every public measure; each says what it found as named arrays."""

NORMALISING = {
    *("knn cosine", "nnk cosine", "manifold", "alignment", "uniformity", "mean cosine"),
    *("panel", "knn accuracy"),
}
"""Measures that put points on the sphere first, so that a row of zeros has no place."""


def ordinary(*, seed: int = 0) -> np.ndarray:
    """Points without a fault."""
    return np.random.default_rng(seed).standard_normal((N, WIDTH)).astype(np.float32)


def clouds() -> dict[str, np.ndarray]:
    """Points that make a measure fail in different ways, float32."""
    rng = np.random.default_rng(5)
    points, direction = rng.standard_normal((N, WIDTH)), rng.standard_normal((1, WIDTH))
    steps = np.arange(1, N + 1)[:, None]
    turn = 2 * np.pi * steps / N
    grid = np.stack(np.meshgrid(*[np.arange(1.0, 5)] * 3), axis=-1).reshape(-1, 3)[:N]

    def few(columns: np.ndarray) -> np.ndarray:
        return np.pad(columns, ((0, 0), (0, WIDTH - columns.shape[1])))

    kinds = {
        "ordinary": points,
        "1e30": 1e30 * points,
        "1e-30": 1e-30 * points,
        "1e30 and 1e-30": points * np.where(steps % 2, 1e30, 1e-30),
        "lengths over 20 decades": points * 10.0 ** rng.uniform(-10, 10, (N, 1)),
        "columns over 12 decades": points * 10.0 ** rng.uniform(-6, 6, (1, WIDTH)),
        "far from the origin": 1e6 + points,
        "very near one another": 1 + 1e-6 * points,
        "one point far away": points * np.where(steps == N, 1e12, 1.0),
        "two tight clusters": 1e-3 * points + np.where(steps % 2, 1e4, -1e4),
        "copies": points[steps[:, 0] % 6],
        "copies but for 1e-8": points[steps[:, 0] % 6] * (1 + 1e-8 * rng.standard_normal((N, 1))),
        "copies but for 1e-7": points[steps[:, 0] % 6] + 1e-7 * points,
        "copies but for 1e-4": points[steps[:, 0] % 6] + 1e-4 * points,
        "all equal": np.repeat(direction, N, axis=0),
        "one line": direction * steps,
        "one line, both ways": direction * steps * np.where(steps % 2, 1, -1),
        "one column": few(points[:, :1]),
        "circle": few(np.concatenate([np.cos(turn), np.sin(turn)], axis=1)),
        "lattice": few(grid),
        "corners of a cube": rng.integers(0, 2, (N, WIDTH)) + 1.0,
        "neighbouring numbers": 1 + 2.0**-23 * rng.permutation(N)[:, None] * np.ones((1, WIDTH)),
    }
    return {kind: cloud.astype(np.float32) for kind, cloud in kinds.items()}
