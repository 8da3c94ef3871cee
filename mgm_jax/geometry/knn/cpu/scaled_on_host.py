"""Points on the host, scaled for a scan block by block: no copy of all of them is ever made."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np

from mgm_jax.geometry.backend.workers import in_order, workers_for_values
from mgm_jax.geometry.knn.distance import Metric, Points, unit_scales

Result = TypeVar("Result")

# Values of a block in float64: 2 MiB, of which a core makes little enough to keep it.
_BLOCK_VALUES = 2**18


class ScaledClouds(NamedTuple):
    """Queries and base in one scale, on the host.

    Attributes:
        queries: ``[n, d]`` NumPy arrays.
        targets: ``[m, d]``; the queries themselves where there is no base.
        mean: of the scaled targets, ``[d]`` float64.
    """

    queries: Points
    targets: Points
    mean: np.ndarray


def scale_on_host(x: np.ndarray, base: np.ndarray | None, *, metric: Metric) -> ScaledClouds:
    """Scale queries and base alike, and find the mean of the base.

    The host's counterpart of ``distance.scale_points``, with the same scales. Nothing is compiled.

    Args:
        x: queries ``[n, d]``.
        base: points ``[m, d]`` among which neighbours are sought; None for the queries.
        metric: which distance.
    """
    if metric == "cosine":
        queries, mean = _on_sphere(x)
        targets = queries
        if base is not None:
            targets, mean = _on_sphere(base)
        return ScaledClouds(queries, targets, mean)
    clouds = [x] if base is None else [x, base]
    sums = _of_blocks(lambda _, block: block.sum(axis=0), clouds[-1])
    centre = np.sum(sums, axis=0) / len(clouds[-1])
    reach = max(
        max(_of_blocks(lambda _, block: np.abs(block - centre).max(), cloud)) for cloud in clouds
    )
    scale = np.ldexp(1.0, -int(np.frexp(reach)[1]))
    scaled = [Points(c, np.full(len(c), scale), np.ones(len(c))) for c in clouds]
    return ScaledClouds(scaled[0], scaled[-1], centre * scale)


def _on_sphere(x: np.ndarray) -> tuple[Points, np.ndarray]:
    scales, lengths = np.empty(len(x)), np.empty(len(x))

    def scale(rows: slice, block: np.ndarray) -> np.ndarray:
        scales[rows], lengths[rows] = unit_scales(np.sqrt(np.einsum("nd,nd->n", block, block)))
        return scales[rows] @ block

    sums = _of_blocks(scale, x)
    return Points(x, scales, lengths), np.sum(sums, axis=0) / len(x)


def _of_blocks(function: Callable[[slice, np.ndarray], Result], x: np.ndarray) -> list[Result]:
    """What a function says of blocks of rows in float64, always the same blocks, in order."""
    step = max(1, _BLOCK_VALUES // x.shape[1])
    blocks = [slice(start, start + step) for start in range(0, len(x), step)]
    calls = [partial(lambda rows: function(rows, x[rows].astype(np.float64)), b) for b in blocks]
    return list(in_order(calls, workers=workers_for_values(x.size)))
