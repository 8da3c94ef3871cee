"""Generalised inverses of the Gram matrices of polytopes on a CPU, by the linear algebra of NumPy.

Vectors that are independent whatever the order in which they are taken need no search for the next
one: an inverse says so itself. The j-th entry of its diagonal is one over the squared distance of
vector j to the span of all others, the least that it is ever to any of them.
"""

from __future__ import annotations

import jax
import numpy as np

from mgm_jax.geometry.local.affinity import inverse_on_span, smallest_distance

# Points that are worked on together, in as many vectors as the one with most has.
_LOT = 32
# So far above the smallest distance the rounding of an inverse does not matter.
_SAFE = 1e3
# Vectors of those that take the greedy way, in steps so that few shapes compile.
_STEP = 16

_greedy = jax.jit(inverse_on_span)


def inverses_on_host(
    gram: np.ndarray, mask: np.ndarray, squared_length: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What :func:`mgm_jax.geometry.local.affinity.inverse_on_span` says; in double precision.

    Args:
        gram: Gram matrices ``[b, p, p]``.
        mask: which vectors count, ``[b, p]`` bool, from the front.
        squared_length: of the points ``[b]``.

    Returns:
        Inverses ``[b, p, p]`` and dimensions ``[b]`` int32.
    """
    inverses, dimension = np.zeros(gram.shape), mask.sum(axis=1).astype(np.int32)
    left = np.zeros(len(gram), bool)
    order = np.argsort(dimension, kind="stable")
    order = order[dimension[order] > 0]
    for start in range(0, order.size, _LOT):
        lot = order[start : start + _LOT]
        p = int(dimension[lot[-1]])
        real = mask[lot, :p]
        both = real[:, :, None] & real[:, None, :]
        block = np.where(both, gram[lot, :p, :p], np.eye(p))
        smallest = smallest_distance(np.where(both, block, 0), squared_length[lot])
        try:
            result = np.linalg.inv(block)
        except np.linalg.LinAlgError:
            left[lot] = True
            continue
        result = np.where(both, (result + result.transpose(0, 2, 1)) / 2, 0)
        share = np.where(real, np.diagonal(result, axis1=1, axis2=2), 0)
        inverses[lot, :p, :p] = result
        # Where rounding made one of them negative, nothing is sure.
        certain = (share * smallest[:, None] * _SAFE < 1) & (share >= 0)
        left[lot] = ~certain.all(axis=1)
    rows = np.flatnonzero(left)
    if rows.size:
        most = int(dimension[rows].max())
        p = min(-(-most // _STEP) * _STEP, gram.shape[1])
        for start in range(0, rows.size, _LOT):
            lot = rows[start : start + _LOT]
            full = np.pad(lot, (0, _LOT - lot.size), mode="edge")
            parts = _greedy(gram[full, :p, :p], mask[full, :p], squared_length[full])
            result, taken = (np.asarray(part)[: lot.size] for part in parts)
            inverses[lot] = 0
            inverses[lot, :p, :p] = result
            dimension[lot] = taken
    return inverses, dimension
