"""Where the rows of a logistic regression are: what one step of the solver asks of them."""

from __future__ import annotations

from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mgm_jax.parallel.devices import shard_rows
from mgm_jax.probe.logistic.loss import CHUNK
from mgm_jax.probe.logistic.stack import Lanes, advance, advance_on


class Rows(Protocol):
    """The rows of a problem, held or read."""

    @property
    def width(self) -> int:
        """Coordinates of the problem: the rank, one for the intercept, and those that fill up."""
        ...

    @property
    def count(self) -> int:
        """Rows, with those that fill up."""
        ...

    def device_put(self, tree: Any) -> Any:
        """Bring arrays of the host to where :meth:`advance` works."""
        ...

    def advance(self, state: Lanes, scale: np.ndarray, ridge: np.ndarray, *, rank: int) -> Lanes:
        """Evaluate a step of every lane over all rows, and choose the next."""
        ...


class HeldRows:
    """Rows in the memory of one device, or spread over several.

    Args:
        z: features in the coordinates of the problem ``[n, r']`` float32, on the host.
        codes: class of every row, ``[n]``; or 0 and 1, ``[n, c]``.
        mesh: devices that share the rows; None for one. Rows of zeros, which count for nothing,
            fill up what the shares lack; ``z`` and ``codes`` may bring some of their own, whose
            codes are -1.
    """

    def __init__(self, z: np.ndarray, codes: np.ndarray, *, mesh: Mesh | None = None) -> None:
        self._mesh = mesh
        self.count, self.width = z.shape
        if mesh is None:
            self._z, self._codes = device_put_whole((z, codes), None)
        else:
            self._z, self._codes = shard_rows(z, mesh), shard_rows(codes, mesh)

    def device_put(self, tree: Any) -> Any:
        """On the device, or whole on every device of the mesh."""
        return device_put_whole(tree, self._mesh)

    def advance(self, state: Lanes, scale: np.ndarray, ridge: np.ndarray, *, rank: int) -> Lanes:
        """One compiled program does it all."""
        if self._mesh is None:
            return advance(state, self._z, self._codes, scale, ridge, rank=rank)
        return advance_on(self._mesh, rank)(state, self._z, self._codes, scale, ridge)


def filled(n: int, *, parts: int = 1) -> int:
    """Least number of rows from n up whose equal parts are what ``loss_and_slope`` takes.

    >>> filled(5), filled(5000), filled(5000, parts=2), filled(5, parts=2)
    (5, 6144, 8192, 6)
    """
    share = -(-n // parts)
    return parts * (share + -share % min(CHUNK, share))


def device_put_whole(tree: Any, mesh: Mesh | None) -> Any:
    """Arrays of the host on the device, or whole on every device of a mesh."""
    if mesh is None:
        # `asarray` would compile a program for every shape.
        return jax.device_put(tree, may_alias=False)
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))
