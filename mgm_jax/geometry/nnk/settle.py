"""Points from their Gram matrices in float64, whatever is asked of them: weights or metrics.

A program does the fast way alone and flags the points that need the fallback; these go through its
slow form, which is compiled with the first of them. What lies between the points of a cloud and
the program, the graph and the metrics share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.backend.workers import in_order, one_thread_a_product
from mgm_jax.geometry.knn.cpu.by_gram import CloudGram
from mgm_jax.geometry.nnk.grams_from_cloud import look_up_differences
from mgm_jax.geometry.nnk.grams_on_host import gathered_grams_on_host
from mgm_jax.geometry.nnk.neighbourhood import gathered_gram
from mgm_jax.geometry.points.groups import padded_size

# Points of a cloud that fall back together.
_FALLBACK_ROWS = 8

gathered_gram_on_device = jax.jit(gathered_gram, static_argnames="normalize")
"""Gram matrices of the differences of points to their candidates, in float64 on a device."""


def settle_rows(
    program: Callable[..., tuple[Any, ...]],
    points: np.ndarray,
    candidates: np.ndarray,
    bandwidth: np.ndarray | None,
    batches: Sequence[np.ndarray],
    *,
    normalize: bool,
    workers: int,
    finish: Callable[..., tuple[Any, ...]] | None = None,
    gram: CloudGram | None = None,
    on_host: bool = False,
) -> Iterator[tuple[Any, ...]]:
    """Run a program on the points of one large cloud, batch by batch.

    Args:
        program: of Gram matrices of the differences to the candidates ``[b, k, k]`` float64, the
            squared lengths of the points ``[b]``, their candidates ``[b, k]``, bandwidths ``[b]``
            or None, and ``fallback``; returns trees of arrays ``[b, ...]``, and which points need
            the fallback ``[b]`` bool.
        points: the cloud ``[n, d]``.
        candidates: rows of the cloud ``[n, k]``.
        bandwidth: of the Gaussian ``[n]``, or None.
        batches: rows ``[b]`` to work on together.
        normalize: whether the cloud is meant on the unit sphere.
        workers: threads to work on.
        finish: what the worker does with the results of a batch on the host.
        gram: of the cloud on the unit sphere, on a CPU where it is at hand.
        on_host: whether the default device is the host, beside accelerators.

    Yields:
        What the program returns of each batch without the flags, on the host, or what ``finish``
        makes of it.
    """
    on_cpu = on_host or jax.default_backend() == "cpu"
    # Clouds of about one size share a compilation.
    more = 0 if on_cpu else padded_size(len(points)) - len(points)
    cloud = points if on_cpu else jax.device_put(np.pad(points, ((0, more), (0, 0))))

    def run(rows: np.ndarray, *, fallback: bool) -> tuple[Any, ...]:
        chosen = candidates[rows]
        width = None if bandwidth is None else bandwidth[rows]
        with double_precision():
            if gram is not None:
                grams = _looked_up(gram, points, rows, chosen)
            else:
                grams_of = gathered_grams_on_host if on_cpu else gathered_gram_on_device
                grams = grams_of(cloud, rows, chosen, normalize=normalize)
            return jax.tree.map(np.asarray, program(*grams, chosen, width, fallback=fallback))

    def settle(rows: np.ndarray) -> tuple[Any, ...]:
        *parts, refused = run(rows, fallback=False)
        left = np.flatnonzero(refused)
        parts = jax.tree.map(np.array, parts) if left.size else parts
        for start in range(0, left.size, _FALLBACK_ROWS):
            subset = left[start : start + _FALLBACK_ROWS]
            full = np.pad(subset, (0, _FALLBACK_ROWS - subset.size), mode="edge")
            *again, _ = run(rows[full], fallback=True)
            for part, new in zip(jax.tree.leaves(parts), jax.tree.leaves(again), strict=True):
                part[subset] = new[: subset.size]
        return finish(*parts) if finish else tuple(parts)

    with one_thread_a_product():
        yield from in_order([partial(settle, rows) for rows in batches], workers=workers)


def _looked_up(
    cloud: CloudGram, points: np.ndarray, rows: np.ndarray, neighbours: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What :func:`gathered_grams_on_host` says of points that are meant on the unit sphere."""
    grams, near = look_up_differences(cloud, rows, neighbours)
    lengths = np.ones(len(rows))
    again = np.flatnonzero(near)
    if again.size:
        grams[again], lengths[again] = gathered_grams_on_host(
            points, rows[again], neighbours[again], normalize=True
        )
    return grams, lengths


def settle_groups(
    program: Callable[..., tuple[Any, ...]],
    mask: np.ndarray,
    *inputs: np.ndarray | None,
    alone: Callable[..., tuple[Any, ...]] | None = None,
) -> tuple[Any, ...]:
    """Run a program on small groups; call in double precision.

    Args:
        program: of the inputs and ``fallback``; returns trees of arrays ``[g, ...]``, and which
            members need the fallback ``[g, m]`` bool.
        mask: which places are points ``[g, m]`` bool.
        inputs: arrays ``[g, ...]``, or None.
        alone: the program of a single group; the same where None.

    Returns:
        What the program returns without the flags; groups with a member that needs the fallback
        once more with it, one by one.
    """
    *parts, refused = program(*inputs, fallback=False)
    left = np.flatnonzero((np.asarray(refused) & mask).any(axis=1))
    if not left.size:
        return tuple(parts)
    parts = jax.tree.map(np.array, parts)
    for group in left:
        one = [None if part is None else part[group : group + 1] for part in inputs]
        *again, _ = (alone or program)(*one, fallback=True)
        for part, new in zip(jax.tree.leaves(parts), jax.tree.leaves(again), strict=True):
            part[group] = np.asarray(new)[0]
    return tuple(parts)
