"""Gram matrices of neighbourhoods about their mean, and their spectra, for many points at once.

All in float64, or where that is slow in pairs of float32, from the differences to the point, so
that nothing but the rounding of the points themselves is lost. There are three ways, with equal
results:

* On a CPU every worker takes some points through gather, product and eigenvalues, so that
  all cores work without waiting for each other on products that are far too small to share.
* A small group has one Gram matrix, of which each of its points takes its part.
* On an accelerator the products are made there, and the host follows with the eigenvalues.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.geometry.backend.exact_products import gram_in_pairs
from mgm_jax.geometry.backend.pairs import EPSILON, Pair, join_float64, two_sum
from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.backend.wide import wide_arithmetic
from mgm_jax.geometry.backend.workers import one_thread_a_product, threads
from mgm_jax.geometry.knn.cpu.by_gram import CloudGram
from mgm_jax.geometry.knn.selection import NOBODY
from mgm_jax.geometry.local.spectrum import LocalSpectrum, centred_gram, local_spectrum
from mgm_jax.geometry.nnk.grams_from_cloud import look_up_differences
from mgm_jax.geometry.nnk.in_pairs.distances import inverse_power
from mgm_jax.geometry.points.groups import Groups
from mgm_jax.parallel.cpus import available_cpus

# Differences that are multiplied together fill about the second cache of a core.
_BLOCK_BYTES = 2**21
# Points between two reports of progress, and of one call on an accelerator.
_TASK_ROWS = 128
# A group of this size has a Gram matrix that stays in the cache of a core.
_SMALL_GROUP = 256
# Above this share of the group's own spread, squared distances keep 12 digits in its Gram matrix.
_NEAR_SHARE = 1e-4


def spectra_of(
    points: jax.Array | np.ndarray,
    neighbours: np.ndarray,
    groups: Groups,
    *,
    threshold: float,
    cloud: CloudGram | None = None,
) -> Iterator[tuple[np.ndarray, LocalSpectrum]]:
    """Local PCA of all points, part by part, in no particular order.

    Args:
        points: ``[n, d]`` float32 or bfloat16.
        neighbours: rows of the neighbours, ``[n, k]`` int32; ``NOBODY`` where there is none.
        groups: partition that the neighbours respect.
        threshold: share of the variance that the dimension explains.
        cloud: Gram matrix of all points, for the Euclidean distance, where it is at hand.

    Yields:
        Rows ``[b]`` and their local PCA.
    """
    if jax.default_backend() != "cpu" or wide_arithmetic() == "pairs":
        yield from _on_device(points, neighbours, threshold=threshold)
        return
    table = np.asarray(points)
    wide = table.shape[1] > neighbours.shape[1]
    tasks: list[tuple[Callable[..., np.ndarray], np.ndarray]] = []
    direct = []
    for members in groups.members():
        # A whole Gram matrix costs more products where the group is large, or d is small.
        if cloud is None and wide and members.size <= _SMALL_GROUP:
            tasks.append((group_grams, members))
        else:
            direct.append(members)
    if direct:
        rows = np.concatenate(direct)
        grams_of = direct_grams if cloud is None else partial(_looked_up_grams, cloud)
        tasks += [(grams_of, part) for part in _parts(rows)]

    def work(task: tuple[Callable[..., np.ndarray], np.ndarray]) -> LocalSpectrum:
        grams, rows = task
        return local_spectrum(grams(table, rows, neighbours[rows]), threshold=threshold)

    with one_thread_a_product(), threads(available_cpus()) as pool:
        for (_, rows), results in zip(tasks, pool.map(work, tasks), strict=True):
            yield rows, results


def direct_grams(table: np.ndarray, rows: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Centred Gram matrices of the neighbours of some rows, ``[b, k, k]`` float64, on the host.

    Args:
        table: points ``[n, d]``.
        rows: which of them, ``[b]``.
        neighbours: ``[b, k]`` rows of the table, or ``NOBODY``.
    """
    b, k = neighbours.shape
    present = neighbours != NOBODY
    chosen = np.where(present, neighbours, rows[:, None])
    grams = np.empty((b, k, k))
    step = max(1, _BLOCK_BYTES // (8 * k * table.shape[1]))
    for start in range(0, b, step):
        part = slice(start, start + step)
        differences = np.take(table, chosen[part], axis=0).astype(np.float64)
        differences -= table[rows[part], None].astype(np.float64)
        # NumPy sees that a matrix meets its own transpose, and computes one triangle only.
        np.matmul(differences, differences.transpose(0, 2, 1), out=grams[part])
    return np.asarray(centred_gram(grams, present))


def _looked_up_grams(
    cloud: CloudGram, table: np.ndarray, rows: np.ndarray, neighbours: np.ndarray
) -> np.ndarray:
    """``direct_grams`` from the Gram matrix of the whole cloud, where it keeps the digits."""
    grams, near = look_up_differences(cloud, rows, neighbours)
    scale = cloud.points.scales[0]
    # A power of two; its square may have no place in float64.
    grams = np.asarray(centred_gram(grams / scale / scale, np.ones(neighbours.shape, bool)))
    again = np.flatnonzero(near)
    if again.size:
        grams[again] = direct_grams(table, rows[again], neighbours[again])
    return grams


def group_grams(table: np.ndarray, rows: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """``direct_grams`` of all points of one group, from the one Gram matrix of the group.

    A point whose neighbours are far closer to it than the group is wide would lose digits; it is
    computed directly.
    """
    wide = table[rows].astype(np.float64)
    wide -= wide.mean(axis=0)
    gram = wide @ wide.T
    present = neighbours != NOBODY
    positions = np.searchsorted(rows, np.where(present, neighbours, rows[:, None]))
    to_point = np.take_along_axis(gram, positions, axis=1)
    own = np.diagonal(gram)
    among = np.take(gram, positions[:, :, None] * len(gram) + positions[:, None, :])
    among += own[:, None, None] - to_point[:, :, None] - to_point[:, None, :]
    grams = np.asarray(centred_gram(among, present))
    reach = np.max(np.diagonal(among, axis1=1, axis2=2), axis=1)
    near = np.flatnonzero(reach < _NEAR_SHARE * own.max())
    if near.size:
        grams[near] = direct_grams(table, rows[near], neighbours[near])
    return grams


def _on_device(
    points: jax.Array | np.ndarray, neighbours: np.ndarray, *, threshold: float
) -> Iterator[tuple[np.ndarray, LocalSpectrum]]:
    table = jnp.asarray(points)
    n, k = neighbours.shape
    together = max(1, min(_TASK_ROWS, 64 * _BLOCK_BYTES // (8 * k * table.shape[1])))
    in_pairs = wide_arithmetic() == "pairs"
    finish: Callable[..., LocalSpectrum] = _finish_pairs if in_pairs else _finish
    with one_thread_a_product(), threads(available_cpus()) as pool:
        waiting = []
        for rows in _parts(np.arange(n)):
            padded = np.pad(rows, (0, _TASK_ROWS - rows.size), mode="edge")
            chosen = neighbours[padded]
            grams: Any
            if in_pairs:
                grams = grams_in_pairs(table, padded, chosen, together=together)
            else:
                with double_precision():
                    grams = _device_grams(table, padded, chosen, together=together)
            waiting.append((rows, pool.submit(finish, grams, chosen, rows.size, threshold)))
            # The host works on a few parts while the device makes the next; no more wait.
            if len(waiting) > available_cpus():
                rows, results = waiting.pop(0)
                yield rows, results.result()
        for rows, results in waiting:
            yield rows, results.result()


def _finish(grams: jax.Array, chosen: np.ndarray, count: int, threshold: float) -> LocalSpectrum:
    del chosen  # which of them count the device has seen to
    return local_spectrum(np.asarray(grams)[:count], threshold=threshold)


def _finish_pairs(
    grams: tuple[Pair, jax.Array], chosen: np.ndarray, count: int, threshold: float
) -> LocalSpectrum:
    gram, unit = grams
    squared = np.square(np.asarray(unit, np.float64))[:, None, None]
    wide = centred_gram(join_float64(gram) * squared, chosen != NOBODY)
    return local_spectrum(wide[:count], threshold=threshold, unit=EPSILON)


@partial(jax.jit, static_argnames="together")
def grams_in_pairs(
    table: jax.Array, rows: jax.Array, neighbours: jax.Array, *, together: int
) -> tuple[Pair, jax.Array]:
    """Gram matrices of differences without float64.

    Args:
        table: points ``[n, d]``.
        rows: which of them ``[b]``.
        neighbours: ``[b, k]`` rows of the table, or ``NOBODY``.
        together: points to work on at once.

    Returns:
        Pairs ``[b, k, k]`` in squares of a unit, and the unit, a power of two ``[b]``.
    """

    def gram_of(row: tuple[jax.Array, jax.Array]) -> tuple[Pair, jax.Array]:
        centre, chosen = row
        own = table[centre].astype(jnp.float32)
        near = table[jnp.where(chosen == NOBODY, centre, chosen)].astype(jnp.float32)
        inverse = inverse_power(jnp.maximum(jnp.max(jnp.abs(near)), jnp.max(jnp.abs(own))))
        return gram_in_pairs(two_sum(near * inverse, -(own * inverse)[None])), 1 / inverse

    return jax.lax.map(gram_of, (rows, neighbours), batch_size=together)


@partial(jax.jit, static_argnames="together")
def _device_grams(
    table: jax.Array, rows: jax.Array, neighbours: jax.Array, *, together: int
) -> jax.Array:
    def gram_of(row: tuple[jax.Array, jax.Array]) -> jax.Array:
        centre, chosen = row
        wide = table[jnp.where(chosen == NOBODY, centre, chosen)].astype(jnp.float64)
        differences = wide - table[centre].astype(jnp.float64)
        return jnp.matmul(differences, differences.T, precision=jax.lax.Precision.HIGHEST)

    grams = jax.lax.map(gram_of, (rows, neighbours), batch_size=together)
    return centred_gram(grams, neighbours != NOBODY)


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + _TASK_ROWS] for start in range(0, rows.size, _TASK_ROWS)]
