"""The polytopes of the points of one large cloud, as the host compares them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class CloudPolytopes:
    """The polytopes of n points: what their neighbours span.

    Attributes:
        points: the cloud ``[n, d]``.
        neighbours: rows of the neighbours of every point ``[n, p]`` int.
        present: which of them count ``[n, p]`` bool, from the front.
        inverse: generalised inverses of the Gram matrices of the differences to them
            ``[n, p, p]`` float64, 0 where no neighbour is.
        normalize: whether the cloud is meant on the unit sphere.
    """

    points: np.ndarray
    neighbours: np.ndarray
    present: np.ndarray
    inverse: np.ndarray
    normalize: bool
