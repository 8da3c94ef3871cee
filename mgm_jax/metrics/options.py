"""What a measurement was asked for, after the checks."""

from __future__ import annotations

from dataclasses import dataclass

from mgm_jax.geometry.nnk.candidates import GRAM_LIMIT
from mgm_jax.geometry.nnk.kernel import KernelName


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of :func:`mgm_jax.metrics.manifold.manifold_metrics`.

    Attributes:
        k: candidates of a point; None for 50, or all other members of a smaller group.
        kernel: kernel of the regression.
        normalize: whether the points are put on the unit sphere.
        pca_threshold: share of the local variance that the local dimension explains.
        seed: of the random points of large groups.
        max_points: most points of one batch of groups; None for a good size.
        gram_limit: largest group that is measured through its whole Gram matrix.
    """

    k: int | None
    kernel: KernelName
    normalize: bool
    pca_threshold: float
    seed: int
    max_points: int | None
    gram_limit: int = GRAM_LIMIT
