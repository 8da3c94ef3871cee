"""What the polytopes of a large group span, as it stays on the device between its programs."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.metrics.local import first_neighbours

CHUNK = 8
"""Places of neighbours that are compared together: the rows of a tile of a TPU."""

_LANES = 128


def chunks_of(k: int) -> int:
    """Chunks of places for up to k neighbours.

    >>> chunks_of(50)
    7
    """
    return -(-k // CHUNK)


class PairSubspaces(NamedTuple):
    """Spans of the polytopes of n points; their neighbours stand in the first of k' places.

    Attributes:
        neighbours: rows of the neighbours ``[n, k']`` int32.
        degree: how many there are ``[n]`` int32.
        made_of: coefficients of the differences to them in a frame of the span, of k directions,
            place after place, ``[n, k' k]`` float32 and zeros up to a multiple of 128: a matrix a
            point would fill half of its tiles.
        dimension: ``[n]`` int32.
        unit: of the differences, a power of two ``[n]`` float32.
    """

    neighbours: Any
    degree: Any
    made_of: Any
    dimension: Any
    unit: Any

    @classmethod
    def empty(cls, n: int, k: int) -> PairSubspaces:
        """Of n points that are not measured yet."""
        places = chunks_of(k) * CHUNK
        return cls(
            np.zeros((n, places), np.int32),
            np.zeros(n, np.int32),
            np.zeros((n, places * k + -places * k % _LANES), np.float32),
            np.zeros(n, np.int32),
            np.ones(n, np.float32),
        )

    @classmethod
    def of(
        cls,
        candidates: jax.Array,
        support: jax.Array,
        made_of: jax.Array,
        dimension: jax.Array,
        unit: jax.Array,
    ) -> PairSubspaces:
        """Of b points, from their candidates.

        Args:
            candidates: ``[b, k]`` int.
            support: which of them are neighbours ``[b, k]`` bool.
            made_of: coefficients of the candidates in the directions ``[b, k, k]``, directions
                first.
            dimension: ``[b]`` int32.
            unit: ``[b]``.
        """
        b, k = candidates.shape
        more = chunks_of(k) * CHUNK - k
        chosen, present = first_neighbours(support, p=k)
        columns = jnp.take_along_axis(jnp.swapaxes(made_of, 1, 2), chosen[:, :, None], axis=1)
        columns = jnp.where(present[:, :, None], columns, 0)
        neighbours = jnp.take_along_axis(candidates, chosen, axis=1)
        columns = jnp.pad(columns, [(0, 0), (0, more), (0, 0)]).reshape(b, -1)
        return cls(
            jnp.pad(neighbours, [(0, 0), (0, more)]),
            jnp.sum(present, axis=1, dtype=jnp.int32),
            jnp.pad(columns, [(0, 0), (0, -columns.shape[1] % _LANES)]),
            dimension,
            unit,
        )

    def coefficients(self, points: jax.Array, *, k: int) -> jax.Array:
        """``made_of`` of some points as matrices ``[*p, k', k]``, places first."""
        places = self.neighbours.shape[1]
        return self.made_of[points][..., : places * k].reshape(*points.shape, places, k)
