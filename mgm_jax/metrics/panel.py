"""Baseline metrics of an encoder: what one would look at beside the manifold graph metrics."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.geometry.cloud.spectrum import spectrum
from mgm_jax.geometry.cloud.uniformity import uniformity
from mgm_jax.geometry.cloud.views import mean_cosine
from mgm_jax.geometry.knn.graph import knn_graph
from mgm_jax.geometry.points.checks import check_points
from mgm_jax.geometry.points.choice import choose_rows

if TYPE_CHECKING:
    import pandas as pd

NEIGHBOUR = 10
"""Which neighbour the typical distance of a cloud is measured to."""

# All pairs of 8192 points are 67 million; more of them say nothing new about their mean.
_MAX_IN_PAIRS = 8192


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Metrics of one encoder on the un-augmented embeddings of an image set.

    Attributes:
        rankme: effective rank of the embeddings, 1 to min(n, d).
        alpha_req: decay of the covariance spectrum, 0 (flat) up; NaN for fewer than three
            directions.
        nesum: sum of the covariance eigenvalues over the largest, 1 to d; NaN for a constant
            cloud.
        uniformity: log mean Gaussian potential on the sphere, -8 (spread) to 0 (collapsed).
        mean_cosine: mean cosine of two different images, -1 / (n - 1) to 1 (collapsed).
        typical_distance: median over images of the distance to the tenth nearest other image,
            on the unit sphere, 0 (collapsed) to 2; it falls as images are added.
    """

    rankme: float
    alpha_req: float
    nesum: float
    uniformity: float
    mean_cosine: float
    typical_distance: float

    def to_dict(self) -> dict[str, float]:
        """Name of each metric to its value."""
        return asdict(self)

    def to_pandas(self) -> pd.DataFrame:
        """One row, a column a metric."""
        import pandas as pd

        return pd.DataFrame([self.to_dict()])

    def _repr_html_(self) -> str:
        """What a notebook shows: the table."""
        return self.to_pandas().to_html(index=False, float_format="%.4g")


def panel(x: Any, *, seed: int = 0) -> Panel:
    """Measure an encoder by its embeddings of different images.

    Args:
        x: embeddings ``[n, d]``, one an image, NumPy or JAX; n at least 3.
        seed: of the 8192 images that uniformity is computed from where there are more.

    Returns:
        A ``Panel``.

    Raises:
        InputError: unusable points, rows of zeros, fewer than three rows.

    References:
        Garrido et al., "RankMe", ICML 2023. Agrawal et al., "alpha-ReQ", NeurIPS 2022. He and
        Ozay, "Exploring the gap between collapsed and whitened features", ICML 2022 (NESum).
        Wang and Isola, "Understanding contrastive representation learning through alignment and
        uniformity", ICML 2020.

    Example:
        >>> round(panel(np.eye(12)).typical_distance, 3)
        1.414
    """
    points = np.asarray(check_points(x, cosine=True), np.float32)
    if len(points) < 3:
        raise InputError(f"x must have at least 3 rows, one an image; got {len(points)}.")
    subset = points
    if len(points) > _MAX_IN_PAIRS:
        subset = points[choose_rows(len(points), _MAX_IN_PAIRS, seed=seed)]
    of_cloud = spectrum(points)
    graph = knn_graph(points, k=min(NEIGHBOUR, len(points) - 1), metric="cosine")
    # |u_i - u_j|^2 = 2 (1 - cos) on the unit sphere.
    farthest = np.sqrt(2 * graph.distances[:, -1].astype(np.float64))
    return Panel(
        rankme=of_cloud.rankme,
        alpha_req=of_cloud.alpha_req,
        nesum=of_cloud.nesum,
        uniformity=uniformity(subset),
        mean_cosine=mean_cosine(points),
        typical_distance=float(np.median(farthest)),
    )
