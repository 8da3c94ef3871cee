"""Comparison of encoders: which are alike, and whether untrained ones are collapsed.

The functions take the tables of a study as pandas frames (or any frame of the same columns)
and return small frozen results with ``.to_pandas()`` and a notebook representation.
"""

from __future__ import annotations

from mgm_jax.analysis.cluster import ModelClusters, cluster_models
from mgm_jax.analysis.collapse import Collapse, collapse_statement
from mgm_jax.analysis.families import FamilyCollapse
from mgm_jax.analysis.hierarchical import Estimate
from mgm_jax.analysis.layers import WHOLE_MODEL, layer_profile

__all__ = [
    "WHOLE_MODEL",
    "Collapse",
    "Estimate",
    "FamilyCollapse",
    "ModelClusters",
    "cluster_models",
    "collapse_statement",
    "layer_profile",
]
