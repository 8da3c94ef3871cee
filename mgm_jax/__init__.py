"""Geometry of the feature spaces of vision encoders.

The public names, nothing else. Importing the package pulls in JAX and NumPy only; everything
heavier (Flax, Orbax, pandas, image libraries) is imported where it is used.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from mgm_jax.compile_cache import keep_programs, quieten

if TYPE_CHECKING:
    from mgm_jax.analysis.clusters.stability import (
        ClusterStability,
        LabelAgreement,
        agreement_over_cuts,
        cluster_stability,
        label_agreement,
    )
    from mgm_jax.analysis.clusters.ward import ModelClusters, cluster_models
    from mgm_jax.analysis.compare import ModelComparison, compare_models
    from mgm_jax.analysis.similarity.models import ModelSimilarity, model_similarity
    from mgm_jax.analysis.transfer.predict import predict_transfer
    from mgm_jax.analysis.transfer.published import published_transfer
    from mgm_jax.analysis.transfer.result import TransferPrediction
    from mgm_jax.encoders.callables.wrapped import wrap
    from mgm_jax.encoders.catalogue.registry import load_encoder
    from mgm_jax.encoders.encoder import Encoder
    from mgm_jax.errors import InputError
    from mgm_jax.geometry.cloud.dimensions import IntrinsicDimension, intrinsic_dimension
    from mgm_jax.geometry.cloud.intrinsic_dimension import (
        LevinaBickel,
        TwoNN,
        levina_bickel,
        two_nn,
    )
    from mgm_jax.geometry.cloud.spectrum import alpha_req, nesum, rankme
    from mgm_jax.geometry.cloud.uniformity import uniformity
    from mgm_jax.geometry.cloud.views import alignment, lidar
    from mgm_jax.geometry.knn.graph import KnnGraph, knn_graph
    from mgm_jax.geometry.local.pca import LocalPca, local_pca
    from mgm_jax.geometry.nnk.graph import NnkGraph, nnk_graph
    from mgm_jax.geometry.variants.angles import CurvatureAngles, curvature_angles
    from mgm_jax.geometry.variants.components import PcaComponents, pca_components
    from mgm_jax.geometry.variants.multiscale import Multiscale, multiscale
    from mgm_jax.images.look import views
    from mgm_jax.images.own_transforms import register_transform
    from mgm_jax.images.sources.open_source import open_source
    from mgm_jax.in_memory import StudyResults, study
    from mgm_jax.in_memory import open_report as report
    from mgm_jax.metrics.manifold import ManifoldMetrics, manifold_metrics
    from mgm_jax.probe.few_shot import FewShotResult, few_shot_probe
    from mgm_jax.probe.knn import KnnAccuracy, knn_probe
    from mgm_jax.probe.linear import ProbeResult, linear_probe
    from mgm_jax.probe.ridge import RidgeResult, ridge_probe
    from mgm_jax.probe.scores.transfer_scores import TransferScores, transfer_scores
    from mgm_jax.training.monitor import Monitor
    from mgm_jax.training.snapshot import snapshot

quieten()

__version__ = "0.1.0"

# Modules and what is public of each.
_PUBLIC = {
    "analysis.clusters.stability": (
        "ClusterStability",
        "LabelAgreement",
        "agreement_over_cuts",
        "cluster_stability",
        "label_agreement",
    ),
    "analysis.clusters.ward": ("ModelClusters", "cluster_models"),
    "analysis.compare": ("ModelComparison", "compare_models"),
    "analysis.similarity.models": ("ModelSimilarity", "model_similarity"),
    "analysis.transfer.predict": ("predict_transfer",),
    "analysis.transfer.published": ("published_transfer",),
    "analysis.transfer.result": ("TransferPrediction",),
    "encoders.callables.wrapped": ("wrap",),
    "encoders.catalogue.registry": ("load_encoder",),
    "encoders.encoder": ("Encoder",),
    "errors": ("InputError",),
    "geometry.cloud.dimensions": ("IntrinsicDimension", "intrinsic_dimension"),
    "geometry.cloud.intrinsic_dimension": ("LevinaBickel", "TwoNN", "levina_bickel", "two_nn"),
    "geometry.cloud.spectrum": ("alpha_req", "nesum", "rankme"),
    "geometry.cloud.uniformity": ("uniformity",),
    "geometry.cloud.views": ("alignment", "lidar"),
    "geometry.knn.graph": ("KnnGraph", "knn_graph"),
    "geometry.local.pca": ("LocalPca", "local_pca"),
    "geometry.nnk.graph": ("NnkGraph", "nnk_graph"),
    "geometry.variants.angles": ("CurvatureAngles", "curvature_angles"),
    "geometry.variants.components": ("PcaComponents", "pca_components"),
    "geometry.variants.multiscale": ("Multiscale", "multiscale"),
    "images.look": ("views",),
    "images.own_transforms": ("register_transform",),
    "images.sources.open_source": ("open_source",),
    "in_memory": ("StudyResults", "report", "study"),
    "metrics.manifold": ("ManifoldMetrics", "manifold_metrics"),
    "probe.few_shot": ("FewShotResult", "few_shot_probe"),
    "probe.knn": ("KnnAccuracy", "knn_probe"),
    "probe.linear": ("ProbeResult", "linear_probe"),
    "probe.ridge": ("RidgeResult", "ridge_probe"),
    "probe.scores.transfer_scores": ("TransferScores", "transfer_scores"),
    "training.monitor": ("Monitor",),
    "training.snapshot": ("snapshot",),
}
_HOMES = {name: home for home, names in _PUBLIC.items() for name in names}

# Where a name is another one in its home.
_THERE = {"report": "open_report"}

__all__ = [
    "ClusterStability",
    "CurvatureAngles",
    "Encoder",
    "FewShotResult",
    "InputError",
    "IntrinsicDimension",
    "KnnAccuracy",
    "KnnGraph",
    "LabelAgreement",
    "LevinaBickel",
    "LocalPca",
    "ManifoldMetrics",
    "ModelClusters",
    "ModelComparison",
    "ModelSimilarity",
    "Monitor",
    "Multiscale",
    "NnkGraph",
    "PcaComponents",
    "ProbeResult",
    "RidgeResult",
    "StudyResults",
    "TransferPrediction",
    "TransferScores",
    "TwoNN",
    "agreement_over_cuts",
    "alignment",
    "alpha_req",
    "cluster_models",
    "cluster_stability",
    "compare_models",
    "curvature_angles",
    "few_shot_probe",
    "intrinsic_dimension",
    "knn_graph",
    "knn_probe",
    "label_agreement",
    "levina_bickel",
    "lidar",
    "linear_probe",
    "load_encoder",
    "local_pca",
    "manifold_metrics",
    "model_similarity",
    "multiscale",
    "nesum",
    "nnk_graph",
    "open_source",
    "pca_components",
    "predict_transfer",
    "published_transfer",
    "rankme",
    "register_transform",
    "report",
    "ridge_probe",
    "snapshot",
    "study",
    "transfer_scores",
    "two_nn",
    "uniformity",
    "views",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    value = getattr(home, _THERE.get(name, name))
    if "jax" in sys.modules:
        keep_programs()
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
