"""Rows of a logistic regression that are read anew for every step of the solver.

The weights are turned to the features instead of the features to the weights: that costs the same
however many rows there are. What a block of rows adds is summed with a second number for what
float32 rounds off, so that blocks may be many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from mgm_jax.parallel.devices import shard_rows
from mgm_jax.probe.features import Features
from mgm_jax.probe.logistic.loss import loss_and_slope
from mgm_jax.probe.logistic.rows import device_put_whole, filled
from mgm_jax.probe.logistic.stack import Lanes, settle, tried

_HIGHEST = jax.lax.Precision.HIGHEST


class ReadRows:
    """Rows that are read block by block, on one device or spread over several.

    Args:
        x: features ``[n, d]``.
        codes: class of every row, ``[n]``; or 0 and 1, ``[n, c]``.
        mean: of the features, ``[d]``.
        basis: orthonormal, ``[d, d]``; the coordinates of the problem are those along its columns,
            and the intercept.
        block_rows: rows that are read at a time.
        mesh: devices that share the rows of a block; None for one.
    """

    def __init__(
        self,
        x: Features,
        codes: np.ndarray,
        *,
        mean: np.ndarray,
        basis: np.ndarray,
        block_rows: int,
        mesh: Mesh | None = None,
    ) -> None:
        self.count, features = x.shape
        self.width = features + 1
        self._x, self._codes, self._mean = x, codes, mean
        self._rows = min(block_rows, self.count)
        # Blocks have one shape, so that one program does.
        self._filled = filled(self._rows, parts=1 if mesh is None else mesh.size)
        self._basis, self._mesh = device_put_whole(basis, mesh), mesh

    def device_put(self, tree: Any) -> Any:
        """On the device, or whole on every device of the mesh."""
        return device_put_whole(tree, self._mesh)

    def advance(self, state: Lanes, scale: np.ndarray, ridge: np.ndarray, *, rank: int) -> Lanes:
        """One pass over all blocks."""
        run = _programs(self._mesh, rank)
        point, weights, turned = run.turn(state, scale, self._basis)
        total = run.begin(turned)
        for z, codes in self._blocks():
            more = run.add(total, turned, z, codes)
            # Or blocks would wait for the device, more and more of them.
            jax.block_until_ready(total)
            total = more
        return run.settle(state, point, weights, total, scale, ridge, self._basis)

    def _blocks(self) -> Iterator[tuple[jax.Array, jax.Array]]:
        """Centred features with a column for the intercept, and codes, on their devices."""
        spread = jnp.asarray if self._mesh is None else partial(shard_rows, mesh=self._mesh)
        for _, (z, codes) in self._x.blocks(self._rows, then=self._centred):
            yield spread(z), spread(codes)

    def _centred(self, rows: slice, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n = len(block)
        z = np.zeros((self._filled, self.width), np.float32)
        np.subtract(block, self._mean, out=z[:n, :-1], casting="same_kind")
        z[:n, -1] = 1
        codes = np.full((self._filled, *self._codes.shape[1:]), -1, np.int32)
        codes[:n] = self._codes[rows]
        return z, codes


class _Sums(NamedTuple):
    """What ``loss_and_slope`` returns, summed over blocks, a share for every device.

    Attributes:
        high: the sums as float32 has them, each with an axis of shares in front.
        low: what was rounded off on the way.
    """

    high: tuple[jax.Array, ...]
    low: tuple[jax.Array, ...]


class _Programs(NamedTuple):
    """The compiled parts of a step."""

    turn: Callable[..., tuple[jax.Array, jax.Array, jax.Array]]
    begin: Callable[..., _Sums]
    add: Callable[..., _Sums]
    settle: Callable[..., Lanes]


@lru_cache(maxsize=64)
def _programs(mesh: Mesh | None, rank: int) -> _Programs:
    axis = None if mesh is None else mesh.axis_names
    rows, whole = PartitionSpec(axis), PartitionSpec()

    def compiled(function: Callable, ins: Any, outs: Any, **options: Any) -> Callable:
        if mesh is not None:
            function = jax.shard_map(
                function, mesh=mesh, in_specs=ins, out_specs=outs, check_vma=False
            )
        return jax.jit(function, **options)

    return _Programs(
        turn=compiled(_turn, whole, whole),
        begin=compiled(_begin, whole, rows),
        add=compiled(_add, (rows, whole, rows, rows), rows),
        settle=compiled(
            partial(_settle, rank=rank, axis=axis),
            (whole, whole, whole, rows, whole, whole, whole),
            whole,
            donate_argnums=(0,),
        ),
    )


def _turn(
    state: Lanes, scale: jax.Array, basis: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Where the steps lead, and the weights there in terms of centred features."""
    point, weights = tried(state, scale)
    rank = basis.shape[1]
    turned = jnp.einsum("dr,src->sdc", basis, weights[:, :rank], precision=_HIGHEST)
    return point, weights, jnp.concatenate([turned, weights[:, rank:]], axis=1)


def _settle(
    state: Lanes,
    point: jax.Array,
    weights: jax.Array,
    total: _Sums,
    scale: jax.Array,
    ridge: jax.Array,
    basis: jax.Array,
    *,
    rank: int,
    axis: tuple[str, ...] | None,
) -> Lanes:
    """Choose the next steps from the sums over all blocks and devices."""
    shares = jax.tree.map(lambda part: part[0], total)
    if axis is not None:
        shares = jax.lax.psum(shares, axis)
    loss, slope, curved = (high + low for high, low in zip(*shares, strict=True))
    sums = loss, _along(slope, basis), curved
    return settle(state, point, weights, sums, scale, ridge, rank=rank)


def _along(slope: jax.Array, basis: jax.Array) -> jax.Array:
    """The slope by weights of features, turned to the coordinates of the problem."""
    features = basis.shape[0]
    turned = jnp.einsum("dr,sdc->src", basis, slope[:, :features], precision=_HIGHEST)
    return jnp.concatenate([turned, slope[:, features:]], axis=1)


def _begin(turned: jax.Array) -> _Sums:
    lane = jnp.zeros((1, turned.shape[0]), turned.dtype)
    zeros = lane, jnp.zeros_like(turned)[None], lane
    return _Sums(zeros, zeros)


def _add(total: _Sums, turned: jax.Array, z: jax.Array, codes: jax.Array) -> _Sums:
    """Add a block (Neumaier 1974): the sum of high and low is nearly that of float64."""
    high, low = [], []
    sums = loss_and_slope(turned, z, codes)
    for before, lost, part in zip(*total, sums, strict=True):
        after = before + part
        took = after - before
        high.append(after)
        low.append(lost + ((before - (after - took)) + (part - took)))
    return _Sums(tuple(high), tuple(low))
