"""Geometry of the feature spaces of vision encoders.

The public names, nothing else. Importing the package pulls in JAX and NumPy only; everything
heavier (Flax, Orbax, pandas, image libraries) is imported where it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mgm_jax.analysis.cluster import ModelClusters, cluster_models
    from mgm_jax.analysis.predict import predict_transfer
    from mgm_jax.analysis.transfer_result import TransferPrediction
    from mgm_jax.encoders.encoder import Encoder
    from mgm_jax.encoders.registry import load_encoder
    from mgm_jax.errors import InputError
    from mgm_jax.geometry.knn import KnnGraph, knn_graph
    from mgm_jax.geometry.local_pca import LocalPca, local_pca
    from mgm_jax.geometry.nnk_graph import NnkGraph, nnk_graph
    from mgm_jax.metrics.manifold import ManifoldMetrics, manifold_metrics

__version__ = "0.1.0"

_HOMES = {
    "Encoder": "encoders.encoder",
    "InputError": "errors",
    "KnnGraph": "geometry.knn",
    "LocalPca": "geometry.local_pca",
    "ManifoldMetrics": "metrics.manifold",
    "ModelClusters": "analysis.cluster",
    "NnkGraph": "geometry.nnk_graph",
    "TransferPrediction": "analysis.transfer_result",
    "cluster_models": "analysis.cluster",
    "knn_graph": "geometry.knn",
    "load_encoder": "encoders.registry",
    "local_pca": "geometry.local_pca",
    "manifold_metrics": "metrics.manifold",
    "nnk_graph": "geometry.nnk_graph",
    "predict_transfer": "analysis.predict",
}

__all__ = [
    "Encoder",
    "InputError",
    "KnnGraph",
    "LocalPca",
    "ManifoldMetrics",
    "ModelClusters",
    "NnkGraph",
    "TransferPrediction",
    "cluster_models",
    "knn_graph",
    "load_encoder",
    "local_pca",
    "manifold_metrics",
    "nnk_graph",
    "predict_transfer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
