"""What a point and its candidates say alone: ``metrics.local`` in pairs of float32."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.geometry.backend.pairs import EPSILON, Pair, join_float64
from mgm_jax.geometry.local.spans_in_pairs import PairSpans, spans_in_pairs
from mgm_jax.geometry.local.spectrum import centred_gram, local_spectrum
from mgm_jax.geometry.nnk.in_pairs.distances import PairCandidates, from_lanes
from mgm_jax.geometry.nnk.in_pairs.programs import solve_candidates
from mgm_jax.geometry.nnk.in_pairs.reduce import repeats
from mgm_jax.geometry.nnk.in_pairs.solve import SUPPORT_WEIGHT
from mgm_jax.geometry.nnk.kernel import COINCIDENT, KernelName
from mgm_jax.metrics.local import Local, LocalPcaColumns

# Spans with a direction thinner than this (squared, relative to all of them) are left to float64.
_THINNEST = 1e-6
_RANK_THRESHOLD = 1e-12


class PairLocal(NamedTuple):
    """Columns of b points; distances are squared, in a unit of the point.

    Attributes:
        count: candidates ``[b]`` int32.
        degree: neighbours among them ``[b]`` int32.
        repeated: candidates equal to the point or to an earlier one ``[b]`` int32.
        diameter: pairs ``[b]``.
        radius: pairs ``[b]``.
        nearest: to the nearest candidate, pairs ``[b]``.
        residual: pairs ``[b]``.
        kkt: ``[b]`` float32.
        unit: of distances, a power of two ``[b]``.
        refused: whether the point is to be measured in float64 ``[b]`` bool.
    """

    count: jax.Array
    degree: jax.Array
    repeated: jax.Array
    diameter: Pair
    radius: Pair
    nearest: Pair
    residual: Pair
    kkt: jax.Array
    unit: jax.Array
    refused: jax.Array


def measure_in_pairs(
    candidates: PairCandidates,
    bandwidth: Pair | None,
    gram: Pair,
    lengths: jax.Array,
    unit: jax.Array,
    *,
    kernel: KernelName,
) -> tuple[PairLocal, jax.Array, PairSpans]:
    """Measure points from the distances of their candidates; pure.

    Args:
        candidates: of the points ``*b``.
        bandwidth: of the Gaussian in the unit of the distances, pairs ``[*b]``, or None.
        gram: Gram matrices of the differences to the candidates, pairs ``[k, k, *b]``.
        lengths: squared lengths of the points ``[*b]``.
        unit: of the distances ``[*b]``.
        kernel: kernel of the regression.

    Returns:
        The columns, points first; which candidates are neighbours ``[k, *b]`` bool; and the spans
        of the differences to these.
    """
    among, to_point, mask, _, _ = candidates
    solution = solve_candidates(candidates, bandwidth, kernel=kernel)
    support = mask & (solution.theta.high > SUPPORT_WEIGHT)
    repeated = mask & (repeats(among.high == 0, mask) | (to_point.high == 0))
    nearest = _largest(to_point.map(jnp.negative), mask, axes=(0,)).map(jnp.negative)
    total = jnp.sum(jnp.where(support, to_point.high, 0), axis=0)
    smallest = jnp.maximum(_RANK_THRESHOLD * total, COINCIDENT * lengths)
    spans = spans_in_pairs(gram, support, smallest)
    count = jnp.sum(mask, axis=0, dtype=jnp.int32)
    copies = jnp.sum(repeated, axis=0, dtype=jnp.int32)
    refused = solution.refused | spans.doubtful | (spans.thinnest < _THINNEST)
    # What spread is left among copies is rounding, of float64 as well.
    refused |= (copies == count) & (count > 0)
    local = PairLocal(
        count=count,
        degree=jnp.sum(support, axis=0, dtype=jnp.int32),
        repeated=copies,
        diameter=_largest(among, support[:, None] & support[None], axes=(0, 1)),
        radius=_largest(to_point, support, axes=(0,)),
        nearest=nearest,
        residual=solution.residual,
        kkt=solution.kkt,
        unit=unit,
        refused=refused,
    )
    return jax.tree.map(lambda part: from_lanes(part, 0), local), support, spans


def _largest(values: Pair, mask: jax.Array, *, axes: tuple[int, ...]) -> Pair:
    """Largest of the pairs along the first axes where the mask is; 0 where it is nowhere."""
    high = jnp.max(jnp.where(mask, values.high, -jnp.inf), axis=axes)
    low = jnp.max(jnp.where(mask & (values.high == high), values.low, -jnp.inf), axis=axes)
    return Pair(*(jnp.where(jnp.isfinite(part), part, 0) for part in (high, low)))


def columns_on_host(local: PairLocal) -> Local:
    """The columns in float64, as the programs in float64 give them."""
    degree, count = np.asarray(local.degree), np.asarray(local.count)
    unit = np.asarray(local.unit, np.float64)

    def distance(squared: Pair, known: np.ndarray) -> np.ndarray:
        root = np.sqrt(np.maximum(join_float64(squared), 0)) * unit
        return np.where(known, root, np.nan)

    columns: dict[str, Any] = {
        "k_effective": count,
        "saturated": (degree == count) & (degree > 0),
        "duplicates": np.asarray(local.repeated) / np.maximum(count, 1),
        "nnk_degree": degree,
        "nnk_diameter": distance(local.diameter, degree >= 2),
        "nnk_radius": distance(local.radius, degree >= 1),
        "nnk_residual": join_float64(local.residual),
        "nnk_kkt": np.asarray(local.kkt, np.float64),
        "knn_distance": distance(local.nearest, count > 0),
    }
    return Local(**columns)


def pca_on_host(
    gram: np.ndarray, mask: np.ndarray, *, threshold: float
) -> tuple[LocalPcaColumns, np.ndarray]:
    """Columns of the local PCA, and where the rounding of pairs could decide the dimension.

    Args:
        gram: Gram matrices of the differences to the candidates ``[b, k, k]`` float64, from pairs.
        mask: which candidates count ``[b, k]`` bool.
        threshold: share of the variance that the dimension explains.
    """
    centred = centred_gram(gram, mask)
    spectrum = local_spectrum(centred, threshold=threshold)
    noise = 8 * mask.shape[1] * EPSILON
    largest = np.max(np.diagonal(gram, axis1=1, axis2=2), axis=1)
    spread = np.max(np.diagonal(centred, axis1=1, axis2=2), axis=1)
    total = spectrum.spectrum.sum(axis=1, keepdims=True)
    shares = np.cumsum(spectrum.spectrum, axis=1) / np.where(total > 0, total, 1)
    doubtful = np.any(np.abs(shares - threshold) <= noise, axis=1) & (total[:, 0] > 0)
    doubtful |= (spread > 0) & (spread <= noise * largest)
    return LocalPcaColumns(spectrum.dimension, spectrum.participation_ratio), doubtful
