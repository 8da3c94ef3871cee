"""A graph of ONNX before its first training step: its weights drawn anew, all else as it is.

A file does not say how its weights began, and a norm may have been folded into the layer before it.
So one rule serves all graphs; what a weight is follows from the operation that it enters.

==========================================  ====================================================
kernels of convolutions                     normal, variance 2 / fan_in (He et al. 2015)
matrices of MatMul and Gemm                 normal, variance 2 / (inputs + outputs) (Glorot 2010)
what is added channel by channel, biases    0
what multiplies channel by channel          1
norms                                       scale and variance 1, shift and mean 0
tokens, positions and tables                normal with deviation 0.02
scalars, integers, constants of the input,  stay
arguments of operations, masks of two values
==========================================  ====================================================

Each weight has a stream of its own, drawn from the seed and its name. Sines that a file holds as a
table cannot be told from learned positions and are drawn like those.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from mgm_jax.errors import InputError

# Values that a weight passes on its way to its layer, moved but not changed.
_MOVING = ("Cast", "Identity", "Transpose", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Slice")
# Constants of so few values are arguments: scales, epsilons, a mean of the input.
_FEW = 3
# A graph most of whose weights enter operations that nobody here knows has no control.
_KNOWN_SHARE = 0.9
_TOKEN_DEVIATION = 0.02

# What becomes of an input of an operation, by its position.
_ONE, _ZERO, _KERNEL, _TRANSPOSED, _MATRIX, _TABLE, _FACTOR, _TERM = range(8)
_ROLES: dict[str, dict[int, int]] = {
    "Conv": {1: _KERNEL, 2: _ZERO},
    "ConvTranspose": {1: _TRANSPOSED, 2: _ZERO},
    "MatMul": {0: _MATRIX, 1: _MATRIX},
    "Gemm": {0: _MATRIX, 1: _MATRIX, 2: _ZERO},
    "BatchNormalization": {1: _ONE, 2: _ZERO, 3: _ZERO, 4: _ONE},
    **{f"{norm}Normalization": {1: _ONE, 2: _ZERO} for norm in ("Layer", "Instance", "Group")},
    "Mul": {0: _FACTOR, 1: _FACTOR},
    "Div": {1: _FACTOR},
    "Add": {0: _TERM, 1: _TERM},
    "Sub": {0: _TERM, 1: _TERM},
    "Concat": dict.fromkeys(range(64), _TABLE),
    **{one: {0: _TABLE} for one in ("Gather", "Expand", "Resize", "Tile")},
    "Where": {1: _TABLE, 2: _TABLE},
}


def redraw(model: Any, *, seed: int, source: str) -> int:
    """Draw the weights of a graph anew, in place.

    Args:
        model: of ONNX, its weights loaded.
        seed: of the draw, at least 0.
        source: what to call the graph in messages.

    Returns:
        How many values were drawn or set.

    Raises:
        InputError: a tenth of its floating-point weights or more enter operations that are not
            known, so that what was drawn would be no untrained twin.
    """
    import onnx

    graph = model.graph
    # Initialisers in the order of their uses, so that a name means the same in every run.
    uses = {name: (node, at) for node in reversed(graph.node) for at, name in _inputs(node)}
    drawn = known = 0
    unknown: set[str] = set()
    for name, tensor in _weights(graph):
        value = onnx.numpy_helper.to_array(tensor)
        if value.dtype.kind != "f" or value.size <= _FEW or np.unique(value).size <= 2:
            continue
        operation, role = _role(name, uses)
        if operation is None:
            continue
        known += value.size
        if role is None:
            unknown.add(operation)
            continue
        fresh = _drawn(role, value.shape, seed=seed, name=name).astype(value.dtype)
        tensor.CopyFrom(onnx.numpy_helper.from_array(fresh, name=tensor.name))
        drawn += value.size
    if drawn < _KNOWN_SHARE * max(known, 1) or not drawn:
        raise InputError(
            f"{source}: init: random draws the weights of convolutions, matrices, norms and tables "
            f"anew, which are {drawn} of its {known} values; "
            f"the others enter {', '.join(sorted(unknown)) or 'nothing'}. Export an untrained graph"
        )
    return drawn


def _inputs(node: Any) -> Iterator[tuple[int, str]]:
    # The first of several places that a value enters counts.
    yield from reversed(list(enumerate(node.input)))


def _weights(graph: Any) -> Iterator[tuple[str, Any]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        if node.op_type == "Constant":
            for one in node.attribute:
                if one.name == "value":
                    yield node.output[0], one.t


def _role(name: str, uses: dict[str, tuple[Any, int]]) -> tuple[str | None, int | None]:
    """The operation that a weight enters in the end, and what becomes of it there."""
    while name in uses:
        node, at = uses[name]
        if node.op_type not in _MOVING:
            return node.op_type, _ROLES.get(node.op_type, {}).get(at)
        if at:
            # The shape, the axes: an argument.
            return None, None
        name = node.output[0]
    return None, None


def _drawn(role: int, shape: tuple[int, ...], *, seed: int, name: str) -> np.ndarray:
    generator = np.random.default_rng([seed, *hashlib.sha256(name.encode()).digest()])
    vector = math.prod(shape) == max(shape)
    if role == _ZERO or (role == _TERM and vector):
        return np.zeros(shape)
    if role in (_ONE, _FACTOR):
        return np.ones(shape)
    if role in (_KERNEL, _TRANSPOSED):
        axis = 0 if role == _TRANSPOSED else 1
        fan_in = shape[axis] * math.prod(shape[2:])
        return generator.normal(0.0, math.sqrt(2 / fan_in), shape)
    if role == _MATRIX and len(shape) > 1:
        return generator.normal(0.0, math.sqrt(2 / (shape[-1] + shape[-2])), shape)
    return generator.normal(0.0, _TOKEN_DEVIATION, shape)
