"""Functions and modules of JAX as a pure function of weights and images."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen, nnx

from mgm_jax.encoders.callables.pooling import named
from mgm_jax.errors import InputError


class Program(NamedTuple):
    """A pure function with its weights.

    Attributes:
        apply: ``(params, x)`` to an array, or to arrays by name.
        params: a tree of arrays.
        kind: what it was made of, for the tables.
        channels_first: whether it expects ``[b, c, h, w]``.
    """

    apply: Callable[[Any, Any], Any]
    params: Any
    kind: str
    channels_first: bool = False


def program_of(fn: Any, variables: Any | None) -> Program | None:
    """What a function or module of JAX is; None where ``fn`` is no known kind of module.

    Modules of Flax NNX and Equinox are read as for evaluation, without dropout; ``fn`` itself is
    not changed.

    Raises:
        InputError: a Linen module without its variables, or variables beside a module that has its
            own.
    """
    if isinstance(fn, linen.Module):
        return _linen(fn, variables)
    if isinstance(fn, nnx.Module):
        _no_variables(variables, "an NNX module")
        graph, state = nnx.split(fn)

        def merged(state: Any, x: Any) -> Any:
            # Statistics that a forward pass would change are those of this copy.
            module: Any = nnx.merge(graph, state)
            module.eval()
            return module(x)

        return Program(merged, state, "Flax NNX module")
    equinox = sys.modules.get("equinox")
    if equinox is not None and isinstance(fn, equinox.Module):
        _no_variables(variables, "an Equinox module")
        arrays, rest = equinox.partition(equinox.nn.inference_mode(fn), equinox.is_array)

        def combined(arrays: Any, x: Any) -> Any:
            # Equinox writes modules for one example, channels first.
            return jax.vmap(equinox.combine(arrays, rest))(x)

        return Program(combined, arrays, "Equinox module", channels_first=True)
    if variables is not None:
        return Program(fn, variables, "JAX function")
    return None


def plain_function(fn: Callable[[Any], Any], shape: tuple[int, ...]) -> Program | None:
    """A function that JAX can trace; None for any other."""
    try:
        jax.eval_shape(lambda x: named(fn(x)), jax.ShapeDtypeStruct(shape, jnp.float32))
    # What is no function of JAX fails on its abstract values in any way.
    except Exception:
        return None
    return Program(lambda _, x: fn(x), (), "JAX function")


def _linen(fn: linen.Module, variables: Any | None) -> Program:
    if fn.scope is not None:
        _no_variables(variables, "a bound Linen module")
        module, own = fn.unbind()
        return Program(module.apply, own, "Flax Linen module")
    if variables is None:
        raise InputError(
            "fn: a Linen module has no weights of its own; give wrap(module, variables=variables), "
            "or module.bind(variables)"
        )
    return Program(fn.apply, variables, "Flax Linen module")


def _no_variables(variables: Any | None, what: str) -> None:
    if variables is not None:
        raise InputError(f"variables: {what} holds its own; leave them out")
