"""NNK of points on the rows of another cloud, such as new images on those of a training set."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.knn.search import find_neighbours
from mgm_jax.geometry.nnk.candidates import candidates_of
from mgm_jax.geometry.nnk.graph import NnkGraph
from mgm_jax.geometry.nnk.kernel import KernelName, check_kernel
from mgm_jax.geometry.nnk.neighbourhood import are_resolved, gathered_gram, regress
from mgm_jax.geometry.nnk.solve import SUPPORT_WEIGHT
from mgm_jax.geometry.points.checks import as_array, check_points, common_offset
from mgm_jax.geometry.points.duplicates import distinct_rows
from mgm_jax.geometry.points.groups import encode_groups, padded_size
from mgm_jax.whole_numbers import whole_number

# Points whose neighbourhoods are solved together: fixed, so that they share a compilation.
_AT_ONCE = 256


def nnk_among(
    x: Any, base: Any, *, k: int | None = None, kernel: KernelName = "cosine"
) -> NnkGraph:
    """Every point as a non-negative combination of its nearest rows of a base.

    Rows of the base that equal a point are no candidates of it, and of equal rows of the base only
    the first is one: the weights of a point are the same whether or not it is in the base itself.

    Args:
        x: points ``[n, d]``, n at least 1.
        base: rows ``[m, d]`` to seek neighbours among, at least two of them distinct.
        k: candidates of a point; None takes 50, or all rows of a smaller base.
        kernel: as in ``nnk_graph``.

    Returns:
        An ``NnkGraph`` whose indices are rows of the base; -1 where there were fewer candidates.

    Raises:
        InputError: unusable points, another number of columns, a base of one distinct row.
    """
    check_kernel(kernel)
    k = None if k is None else whole_number(k, name="k")
    cosine = kernel == "cosine"
    x, base = as_array(x), as_array(base, name="base")
    offset = None if cosine else common_offset(x, base)
    points = np.asarray(check_points(x, cosine=cosine, least=1, offset=offset), np.float32)
    others = np.asarray(check_points(base, name="base", cosine=cosine, offset=offset), np.float32)
    if points.shape[1] != others.shape[1]:
        raise InputError(
            f"base must have as many columns as x, {points.shape[1]}; got {others.shape[1]}."
        )
    partition = encode_groups(None, len(others))
    kept = distinct_rows(others, partition)
    rows = np.arange(len(others)) if kept is None else kept.rows
    distinct = others[rows]
    if len(distinct) < 2:
        raise InputError("base must have at least two distinct rows; got one. Add rows.")
    # One more than will be used, for the point itself may be among them.
    wanted = candidates_of(len(distinct) + 1, k)
    results = find_neighbours(
        points,
        encode_groups(None, len(distinct)),
        base=distinct,
        distinct=None,
        k=min(wanted + 1, len(distinct)),
        metric="cosine" if cosine else "euclidean",
    )
    equal = (distinct[results.indices] == points[:, None, :]).all(axis=2)
    real = ~equal & (np.cumsum(~equal, axis=1) <= wanted)
    # What counts moves to the front, in order.
    order = np.argsort(~real, axis=1, kind="stable")[:, :wanted]
    candidates = np.take_along_axis(results.indices, order, axis=1)
    real = np.take_along_axis(real, order, axis=1)
    parts = _weights_in_blocks(points, distinct, candidates, real, kernel=kernel)
    weights, residual, kkt, resolved = parts
    return NnkGraph(
        indices=np.where(real, rows[candidates], -1).astype(np.int32),
        weights=weights,
        residual=residual,
        kkt=kkt,
        k_effective=real.sum(axis=1).astype(np.int32),
        resolved=resolved,
        kernel=kernel,
    )


def _weights_in_blocks(
    points: np.ndarray,
    base: np.ndarray,
    candidates: np.ndarray,
    real: np.ndarray,
    *,
    kernel: KernelName,
) -> list[np.ndarray]:
    results = []
    with double_precision():
        known = jnp.asarray(np.pad(base, ((0, padded_size(len(base)) - len(base)), (0, 0))))
        for start in range(0, len(points), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            more = _AT_ONCE - len(points[part])
            own, chosen, counts = (
                np.pad(array[part], ((0, more), (0, 0))) for array in (points, candidates, real)
            )
            gram, lengths = _differences(known, own, chosen, normalize=kernel == "cosine")
            solved = _weights(gram, counts, lengths, kernel=kernel)
            results.append([np.asarray(one)[: _AT_ONCE - more] for one in solved])
    return [np.concatenate(columns) for columns in zip(*results, strict=True)]


# Apart from the regression, which then is compiled once for clouds of all sizes and widths.
@partial(jax.jit, static_argnames="normalize")
def _differences(
    base: jax.Array, points: jax.Array, candidates: jax.Array, *, normalize: bool
) -> tuple[jax.Array, jax.Array]:
    rows = len(base) + jnp.arange(len(points))
    cloud = jnp.concatenate([base, points])
    return gathered_gram(cloud, rows, candidates, normalize=normalize)


@partial(jax.jit, static_argnames="kernel")
def _weights(
    gram: jax.Array, real: jax.Array, lengths: jax.Array, *, kernel: KernelName
) -> tuple[jax.Array, ...]:
    """Weights, residual, violation and whether points are resolved."""
    solution, _ = regress(gram, real, None, lengths, kernel=kernel)
    weights = jnp.where(real & (solution.theta > SUPPORT_WEIGHT), solution.theta, 0)
    if kernel == "cosine":
        resolved = jnp.ones(len(weights), bool)
    else:
        resolved = are_resolved(gram, real, None, lengths, rounding=0.0)
    return weights, solution.residual, solution.kkt, resolved
