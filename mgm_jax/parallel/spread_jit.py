"""Compiled functions whose arrays are spread over a mesh: one wrapper and one cache for all."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
from jax.sharding import Mesh, PartitionSpec

SPREAD, WHOLE = "spread", "whole"
"""An array cut by rows over the devices, and one that every device holds."""


@lru_cache(maxsize=256)
def spread_jit(
    function: Callable[..., Any],
    mesh: Mesh | None,
    *,
    inputs: str | tuple[str, ...] = SPREAD,
    outputs: str | tuple[str, ...] = SPREAD,
    donate: tuple[int, ...] = (),
    **static: Any,
) -> Callable[..., Any]:
    """Compile ``function(*arrays, **static)`` with its arrays spread over the devices of a mesh.

    The same arguments give the same compiled function, so hand over a function of a module and
    what it depends on as ``static``, not a closure.

    Args:
        function: of each device's share of the arrays; may call collectives over the mesh.
        mesh: of one axis; None compiles for one device.
        inputs: :data:`SPREAD` or :data:`WHOLE`, for all arguments or one an argument; an
            argument may be a tree of arrays.
        outputs: the same of what it returns.
        donate: arguments whose memory the result may take.
        static: hashable options of the function.

    Example:
        >>> import jax.numpy as jnp
        >>> spread_jit(jnp.sort, None, descending=True)(jnp.arange(3)).tolist()
        [2, 1, 0]
    """
    body = partial(function, **static)
    if mesh is None:
        return jax.jit(body, donate_argnums=donate)
    kinds = {SPREAD: PartitionSpec(mesh.axis_names), WHOLE: PartitionSpec()}
    specs = [jax.tree.map(kinds.__getitem__, which) for which in (inputs, outputs)]
    spread = jax.shard_map(body, mesh=mesh, in_specs=specs[0], out_specs=specs[1], check_vma=False)
    return jax.jit(spread, donate_argnums=donate)
