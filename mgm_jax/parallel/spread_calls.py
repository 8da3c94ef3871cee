"""Functions of many groups, or of the rows of one cloud, called with these spread over a mesh.

No device gets a whole cloud: each gets the points that its rows ask for, renumbered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mgm_jax.parallel.devices import fetch, pad_rows, shard_rows
from mgm_jax.parallel.spread_jit import spread_jit


def call_on_groups(
    function: Callable[..., Any],
    *parts: np.ndarray | None,
    mesh: Mesh | None,
    **static: Any,
) -> Any:
    """Call ``function(*parts, **static)``, the first axis of every part spread over a mesh.

    Args:
        function: of arrays ``[g, ...]``, or None; returns arrays ``[g, ...]``, each group's from
            its own alone. Compiled once a shape.
        parts: the arrays, the same on every process.
        mesh: the devices, of one or many processes; None for the default device.
        static: hashable options of the function.

    Returns:
        What the function returns, on the host of every process.
    """
    if mesh is None:
        return jax.tree.map(np.asarray, function(*parts, **static))
    count = next(len(part) for part in parts if part is not None)
    program = spread_jit(function, mesh, **static)
    spread = [
        None if part is None else shard_rows(pad_rows(part, multiple=mesh.size)[0], mesh)
        for part in parts
    ]
    return jax.tree.map(lambda part: fetch(part)[:count], program(*spread))


def call_on_rows(
    function: Callable[..., Any],
    points: np.ndarray,
    candidates: np.ndarray,
    *columns: np.ndarray | None,
    mesh: Mesh,
    at_once: int,
    **static: Any,
) -> Iterator[tuple[np.ndarray, Any]]:
    """Call ``function(cloud, rows, candidates, *columns, **static)`` for all rows of a cloud.

    Args:
        function: of the points ``[c, d]``, rows ``[b]`` and candidates ``[b, k]`` among them, and
            further columns ``[b]``; returns arrays ``[b, ...]``. Compiled once a shape.
        points: the cloud ``[n, d]``, the same on every process.
        candidates: ``[n, k]`` rows of the cloud.
        columns: ``[n]`` each, or None.
        mesh: the devices, of one or many processes; all of them must go through all results.
        at_once: rows of one call on one device.
        static: hashable options of the function.

    Yields:
        Rows, and what the function returns of them, on the host of every process.
    """
    n, k = candidates.shape
    share = min(at_once, -(-n // mesh.size))
    size = min(share * (k + 1), n)
    program = spread_jit(function, mesh, **static)
    for start in range(0, n, share * mesh.size):
        rows = np.arange(start, min(start + share * mesh.size, n))
        # The last call is filled up with its last row.
        full = np.pad(rows, (0, share * mesh.size - rows.size), mode="edge")
        names = _names(full, candidates, share=share, size=size)
        asked = np.concatenate([full[:, None], candidates[full]], axis=1).reshape(mesh.size, -1)
        local = [np.searchsorted(mine, wanted) for mine, wanted in zip(names, asked, strict=True)]
        local = np.asarray(local, np.int32).reshape(full.size, k + 1)
        spread = partial(shard_rows, mesh=mesh)
        results = program(
            _clouds(points, names, mesh),
            spread(local[:, 0]),
            spread(local[:, 1:]),
            *(None if column is None else spread(column[full]) for column in columns),
        )
        yield rows, jax.tree.map(lambda part, count=rows.size: fetch(part)[:count], results)


def _names(rows: np.ndarray, candidates: np.ndarray, *, share: int, size: int) -> list[np.ndarray]:
    """Rows that each device needs, ascending, filled up to one size by repeats of the last."""
    names = []
    for mine in rows.reshape(-1, share):
        subset = np.unique(np.concatenate([mine, candidates[mine].ravel()]))
        names.append(np.pad(subset, (0, size - subset.size), mode="edge"))
    return names


def _clouds(points: np.ndarray, names: list[np.ndarray], mesh: Mesh) -> jax.Array:
    size = names[0].size
    shape = (size * mesh.size, points.shape[1])

    # A process gathers for its own devices only.
    def points_of(index: Any) -> np.ndarray:
        return points[names[(index[0].start or 0) // size]]

    target = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    return jax.make_array_from_callback(shape, target, points_of)
