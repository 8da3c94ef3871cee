"""Comparison of encoders: which are alike, which are collapsed, and what predicts transfer.

The functions take the tables of a study as pandas frames (or any frame of the same columns)
and return small frozen results with ``.to_pandas()`` and a notebook representation.

| room | what |
|---|---|
| ``compare`` | paired differences of two encoders on the same groups |
| ``similarity`` | what models see alike in the same images: CKA, RSA, Procrustes and others |
| ``clusters`` | groups of models by their metrics, how stable, how they agree with labels |
| ``collapse`` | whether untrained encoders are collapsed |
| ``transfer`` | prediction of transfer, held out, beside baselines; published scores |
| ``layers`` | metrics along the depth of a network |
"""

from __future__ import annotations

from mgm_jax.analysis.clusters.stability import (
    ClusterStability,
    LabelAgreement,
    agreement_over_cuts,
    cluster_stability,
    label_agreement,
)
from mgm_jax.analysis.clusters.ward import ModelClusters, cluster_models
from mgm_jax.analysis.collapse.comparison import Estimate
from mgm_jax.analysis.collapse.families import FamilyCollapse
from mgm_jax.analysis.collapse.statement import Collapse, collapse_statement
from mgm_jax.analysis.compare import ModelComparison, compare_models
from mgm_jax.analysis.layers import WHOLE_MODEL, layer_profile
from mgm_jax.analysis.similarity.models import ModelSimilarity, model_similarity, mutual_neighbours
from mgm_jax.analysis.transfer.predict import predict_transfer
from mgm_jax.analysis.transfer.published import published_names, published_transfer
from mgm_jax.analysis.transfer.result import TransferPrediction

__all__ = [
    "WHOLE_MODEL",
    "ClusterStability",
    "Collapse",
    "Estimate",
    "FamilyCollapse",
    "LabelAgreement",
    "ModelClusters",
    "ModelComparison",
    "ModelSimilarity",
    "TransferPrediction",
    "agreement_over_cuts",
    "cluster_models",
    "cluster_stability",
    "collapse_statement",
    "compare_models",
    "label_agreement",
    "layer_profile",
    "model_similarity",
    "mutual_neighbours",
    "predict_transfer",
    "published_names",
    "published_transfer",
]
