"""One cell: embeddings in, per-point records and the encoder's panel out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.cloud.moments import moments_of
from mgm_jax.geometry.cloud.views import alignment, lidar, pair_distance
from mgm_jax.geometry.cloud.whitening import whitened_invariance
from mgm_jax.metrics import manifold_metrics, panel
from mgm_jax.probe.knn import knn_accuracy
from mgm_jax.study import MetricOptions

#: Smallest manifold that is measured: with two points everything is determined by one distance.
MIN_POINTS = 3

#: Widest features that are measured of all views together: the cost grows with the cube of it.
MAX_FEATURES_OF_VIEWS = 4096

#: Where the table of a cell keeps which manifolds were too small, in its ``attrs``: their names and
#: how many points they have together.
SMALL = "small_manifolds"

#: Where the table of a cell of views keeps what :func:`measure_views` says: in its ``attrs``, which
#: Parquet files carry along.
VIEWS = "views"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What the un-augmented embeddings of an encoder say about its scale.

    Attributes:
        mean: mean embedding, [d].
        distance: root-mean-square distance of two different images on the sphere, centred as the
            cells are: the unit of the relative diameter. NaN where all images are one point.
        panel: metrics of the encoder as a whole, by name.
        left_out: ids of images whose embeddings have no direction.
    """

    mean: np.ndarray
    distance: float
    panel: dict[str, float]
    left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values that :meth:`from_json` reads back to the same digits."""
        content = {"mean": self.mean.tolist(), "distance": self.distance, "panel": self.panel}
        return content | ({"left_out": list(self.left_out)} if self.left_out else {})

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Reference:
        """The reference that :meth:`to_json` described."""
        return cls(
            mean=np.asarray(content["mean"]),
            distance=content["distance"],
            panel=content["panel"],
            left_out=tuple(content.get("left_out", ())),
        )


def measure_reference(
    x: np.ndarray, labels: np.ndarray, *, seed: int, center: Literal["global"] | None = None
) -> Reference:
    """Panel of baseline metrics of the un-augmented embeddings, and their scale.

    Args:
        x: embeddings, [n, d].
        labels: class of each, -1 where there is none, [n]; with two classes or more the
            leave-one-out k-NN accuracy (k = 10) of the labelled images joins the panel.
        seed: of the pairs that are drawn.
        center: whether the cells are measured with the mean embedding taken off.
    """
    values = panel(x, seed=seed).to_dict()
    known = labels >= 0
    if len(np.unique(labels[known])) > 1:
        accuracy = knn_accuracy(x[known], labels[known], k=min(10, known.sum() - 1))
        values |= {
            "knn_accuracy": accuracy.accuracy,
            "knn_accuracy_low": accuracy.low,
            "knn_accuracy_high": accuracy.high,
        }
    mean = np.asarray(x, np.float64).mean(axis=0)
    try:
        distance = pair_distance(x if center is None else (x - mean).astype(np.float32))
    except InputError:
        # An image at the very mean has no direction.
        distance = float("nan")
    return Reference(mean=mean, distance=distance if distance > 0 else float("nan"), panel=values)


def measure_points(
    x: np.ndarray,
    groups: np.ndarray,
    *,
    options: MetricOptions,
    reference: Reference,
    seed: int,
    plain: np.ndarray | None = None,
) -> pd.DataFrame:
    """Per-point records of one cell.

    Args:
        x: embeddings, [n, d].
        groups: manifold of each embedding, [n].
        options: how to measure.
        reference: of the same encoder's un-augmented embeddings.
        seed: of the null pairs.
        plain: the un-augmented embeddings, [m, d], where the cell is one of views: what is
            measured of all its views together then joins the ``attrs`` of the table.

    Returns:
        One row a point, in the order of ``x``; the index says which row. Points of manifolds
        with fewer than three points are left out, and the ``attrs`` of the table name these.

    Raises:
        InputError: no manifold is large enough, or the embeddings cannot be measured.
    """
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    kept = np.flatnonzero(sizes[codes] >= MIN_POINTS)
    if not len(kept):
        raise InputError(
            f"no manifold has {MIN_POINTS} points or more; sizes: {name_some(sizes)}. "
            "Take more images of each class, or more views"
        )
    # An encoder that maps all images to one point has no scale to compare a diameter with.
    measurable = bool(np.isfinite(reference.distance))
    metrics = manifold_metrics(
        x[kept],
        groups=groups[kept],
        k=options.k,
        kernel=options.kernel,
        bandwidth=options.bandwidth,
        center=reference.mean if options.center == "global" else None,
        reference_distance=reference.distance if measurable else None,
        pca_threshold=options.pca_threshold,
        # Views that came out equal (a jitter that was not drawn) are one point of the manifold;
        # as candidates of each other they would end every neighbourhood at distance 0.
        duplicates="drop",
        seed=seed,
    )
    table = metrics.to_pandas()
    if not measurable:
        index = table.columns.get_loc("nnk_diameter")
        table.insert(int(np.asarray(index)) + 1, "relative_diameter", np.nan)
    table.index = kept
    if len(kept) < len(groups):
        left = np.setdiff1d(groups, groups[kept])
        table.attrs[SMALL] = {"groups": left.tolist(), "points": len(groups) - len(kept)}
    if plain is not None:
        table.attrs[VIEWS] = measure_views(x[kept], groups[kept], plain=plain)
    return table


def measure_views(x: np.ndarray, groups: np.ndarray, *, plain: np.ndarray) -> dict[str, float]:
    """Metrics of an encoder from all views of a setting together, by name.

    Args:
        x: embeddings of the views, [n, d].
        groups: the image of each, [n].
        plain: embeddings of images as they are, [m, d]; they say how to whiten.

    Returns:
        ``lidar``, ``alignment`` and ``whitened_invariance``; NaN where one is undefined, as
        whitening is for an encoder that maps all images to one point.
    """
    measures = {
        "lidar": lambda: lidar(x, groups),
        "alignment": lambda: alignment(x, groups),
        "whitened_invariance": lambda: whitened_invariance(x, groups, reference=moments_of(plain)),
    }
    values = {}
    for name, measure in measures.items():
        try:
            values[name] = float(measure())
        except InputError:
            values[name] = float("nan")
    return values
