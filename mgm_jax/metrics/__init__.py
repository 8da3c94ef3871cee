"""Manifold graph metrics of groups of points, baseline metrics of a model, and their statistics.

| file | what |
|---|---|
| ``manifold`` | the public ``manifold_metrics`` and its record |
| ``measure`` | all groups of points, in batches; ``options`` what was asked for |
| ``small_groups``, ``large_groups`` | by one Gram matrix a group, and by a k-NN graph |
| ``local`` | the measures of a neighbourhood from its Gram matrix |
| ``panel`` | baselines, one value a model |
| ``summary`` | means over groups with bootstrap intervals; ``columns`` names of all measures |
"""

from __future__ import annotations

from mgm_jax.metrics.columns import METRIC_COLUMNS
from mgm_jax.metrics.manifold import ManifoldMetrics, manifold_metrics
from mgm_jax.metrics.panel import Panel, panel
from mgm_jax.metrics.summary import (
    ManifoldSummary,
    group_means,
    means_and_summary,
    paired_difference,
    summarise,
)

__all__ = [
    "METRIC_COLUMNS",
    "ManifoldMetrics",
    "ManifoldSummary",
    "Panel",
    "group_means",
    "manifold_metrics",
    "means_and_summary",
    "paired_difference",
    "panel",
    "summarise",
]
