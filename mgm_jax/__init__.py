"""Geometry of the feature spaces of vision encoders.

The public names, nothing else. Importing the package pulls in JAX and NumPy only; everything
heavier (Flax, Orbax, pandas, image libraries) is imported where it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mgm_jax.analysis.cluster import ModelClusters, cluster_models
    from mgm_jax.analysis.cluster_stability import (
        ClusterStability,
        LabelAgreement,
        agreement_over_cuts,
        cluster_stability,
        label_agreement,
    )
    from mgm_jax.analysis.compare import ModelComparison, compare_models
    from mgm_jax.analysis.predict import predict_transfer
    from mgm_jax.analysis.published import published_transfer
    from mgm_jax.analysis.similarity import ModelSimilarity, model_similarity
    from mgm_jax.analysis.transfer_result import TransferPrediction
    from mgm_jax.encoders.encoder import Encoder
    from mgm_jax.encoders.registry import load_encoder
    from mgm_jax.errors import InputError
    from mgm_jax.geometry.knn import KnnGraph, knn_graph
    from mgm_jax.geometry.local_pca import LocalPca, local_pca
    from mgm_jax.geometry.nnk_graph import NnkGraph, nnk_graph
    from mgm_jax.metrics.manifold import ManifoldMetrics, manifold_metrics
    from mgm_jax.probe.few_shot import FewShotResult, few_shot_probe
    from mgm_jax.probe.linear import ProbeResult, linear_probe
    from mgm_jax.probe.neighbours import KnnAccuracy, knn_probe
    from mgm_jax.probe.ridge import RidgeResult, ridge_probe
    from mgm_jax.probe.transfer_scores import TransferScores, transfer_scores

__version__ = "0.1.0"

_HOMES = {
    "ClusterStability": "analysis.cluster_stability",
    "Encoder": "encoders.encoder",
    "FewShotResult": "probe.few_shot",
    "InputError": "errors",
    "KnnAccuracy": "probe.neighbours",
    "KnnGraph": "geometry.knn",
    "LabelAgreement": "analysis.cluster_stability",
    "LocalPca": "geometry.local_pca",
    "ManifoldMetrics": "metrics.manifold",
    "ModelClusters": "analysis.cluster",
    "ModelComparison": "analysis.compare",
    "ModelSimilarity": "analysis.similarity",
    "NnkGraph": "geometry.nnk_graph",
    "ProbeResult": "probe.linear",
    "RidgeResult": "probe.ridge",
    "TransferPrediction": "analysis.transfer_result",
    "TransferScores": "probe.transfer_scores",
    "agreement_over_cuts": "analysis.cluster_stability",
    "cluster_models": "analysis.cluster",
    "cluster_stability": "analysis.cluster_stability",
    "compare_models": "analysis.compare",
    "few_shot_probe": "probe.few_shot",
    "knn_graph": "geometry.knn",
    "knn_probe": "probe.neighbours",
    "label_agreement": "analysis.cluster_stability",
    "linear_probe": "probe.linear",
    "load_encoder": "encoders.registry",
    "local_pca": "geometry.local_pca",
    "manifold_metrics": "metrics.manifold",
    "model_similarity": "analysis.similarity",
    "nnk_graph": "geometry.nnk_graph",
    "predict_transfer": "analysis.predict",
    "published_transfer": "analysis.published",
    "ridge_probe": "probe.ridge",
    "transfer_scores": "probe.transfer_scores",
}

__all__ = [
    "ClusterStability",
    "Encoder",
    "FewShotResult",
    "InputError",
    "KnnAccuracy",
    "KnnGraph",
    "LabelAgreement",
    "LocalPca",
    "ManifoldMetrics",
    "ModelClusters",
    "ModelComparison",
    "ModelSimilarity",
    "NnkGraph",
    "ProbeResult",
    "RidgeResult",
    "TransferPrediction",
    "TransferScores",
    "agreement_over_cuts",
    "cluster_models",
    "cluster_stability",
    "compare_models",
    "few_shot_probe",
    "knn_graph",
    "knn_probe",
    "label_agreement",
    "linear_probe",
    "load_encoder",
    "local_pca",
    "manifold_metrics",
    "model_similarity",
    "nnk_graph",
    "predict_transfer",
    "published_transfer",
    "ridge_probe",
    "transfer_scores",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
