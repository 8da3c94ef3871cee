"""A graph of ONNX in a file, run by ONNX Runtime, with the input that it expects.

What a graph does with its input before the first layer is read off its first operations: a
subtraction or division by constants is a normalisation of its own, and uint8 or a division by 255
means pixel values from 0 to 255. Such a graph gets what it expects and nothing is applied twice.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mgm_converters.foreign.onnx_random import redraw
from mgm_converters.foreign.request import ModelRequest
from mgm_jax.encoders import WrappedEncoder, wrap
from mgm_jax.errors import InputError, name_some

# Operations that leave values as they are, and those that may normalise.
_NEUTRAL = ("Cast", "Transpose", "Identity", "Reshape", "Unsqueeze", "Squeeze")
_NORMALISING = ("Sub", "Div", "Mul", "Add")
# Constants of more values than this are weights, not channels.
_CHANNELS = 3
# A larger mean or divisor is on the scale 0 to 255.
_UNIT = 2.0


@dataclass(frozen=True, kw_only=True)
class GraphInput:
    """What a graph expects.

    Attributes:
        name: of its input.
        dtype: of the pixels.
        channels_first: whether it is ``[b, c, h, w]``.
        channels: of the image.
        side: of the square; None where any is taken.
        batch: images at once; None where any number is taken.
        normalises: whether the graph subtracts a mean or divides by a deviation itself.
        bytes: whether values go from 0 to 255.
    """

    name: str
    dtype: np.dtype[Any]
    channels_first: bool
    channels: int
    side: int | None
    batch: int | None
    normalises: bool
    bytes: bool


def open_onnx(name: str, request: ModelRequest) -> WrappedEncoder:
    """The outputs of a graph in a file, or any value within it.

    Args:
        name: the file.
        request: taps are outputs by name, or values that one operation hands to the next; none
            means the first output, ``all`` all outputs. ``size`` is of a graph that takes any,
            ``mean`` and ``std`` of one that does not normalise its input itself. Random weights
            are drawn by the rule of ``onnx_random``.

    Raises:
        InputError: ONNX Runtime is not installed, the file is no graph of one image input, a value
            that it does not have, or an input that nobody states.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise InputError(f"onnx:{name}: pip install 'mgm_jax[onnx]' ({error})") from error
    size, seed, taps = request.size, request.seed, request.taps
    path = request.base / Path(name).expanduser()
    if not path.is_file():
        raise InputError(f"onnx:{name}: no such file (looked in {request.base})")
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
        outputs = [one.name for one in graph.output]
        wanted = outputs if taps == "all" else list(taps) or outputs[:1]
        within = [one for one in wanted if one not in outputs]
        given: Any = str(path)
        if not _unknown(within, graph) and (within or seed is not None):
            given = _changed(onnx, path, within, seed=seed)
        session = onnxruntime.InferenceSession(given, providers=_providers(onnxruntime))
    except InputError:
        raise
    # Two parsers, each with errors of its own.
    except Exception as error:
        said = str(error).splitlines()[0]
        raise InputError(f"{path}: no graph of ONNX ({type(error).__name__}: {said})") from error
    if unknown := _unknown(within, graph):
        values = [one for node in graph.node for one in node.output]
        near = difflib.get_close_matches(unknown[0], values, n=5, cutoff=0.3)
        raise InputError(
            f"{path}: no output {name_some(unknown)}; it has {name_some(outputs, most=30)}, and "
            f"{len(values)} values within, of which these come nearest: {name_some(near) or 'none'}"
        )
    look = graph_input(graph, path)
    if request.channel_order is not None and look.channels != 3:
        raise InputError(f"{path}: takes grey images, which have no channel_order; leave it out")
    side = look.side or size
    if side is None:
        raise InputError(f"{path}: takes images of any size; say size:")
    if look.side and size not in (None, look.side):
        raise InputError(f"{path}: takes images of {look.side} pixels, not {size}")
    mean, std = _moments(look, request.mean, request.std, path)
    return wrap(
        _Session(session, look, wanted, reverse=request.channel_order == "bgr"),
        size=side,
        resize=round(side * 8 / 7) if look.side is None or side >= 64 else side,
        mean=mean,
        std=std,
        # The first that is named is the one that stands for the encoder.
        taps=[*wanted[1:], wanted[0]],
        layout="nchw" if look.channels_first else "nhwc",
        digest=" ".join(
            [
                _digest(path, graph),
                *([] if seed is None else [f"drawn anew {seed}"]),
                *(["bgr"] if request.channel_order == "bgr" else []),
            ]
        ),
        name=path.stem,
        kind="ONNX graph",
        meta={
            "architecture": "ONNX graph",
            "source": f"onnx:{path.name}",
            "conversion": {"doubt": _said_of(look)},
            **request.untrained,
        },
    )


def _unknown(within: Sequence[str], graph: Any) -> list[str]:
    values = {one for node in graph.node for one in node.output}
    return [one for one in within if one not in values]


def _changed(onnx: Any, path: Path, within: Sequence[str], *, seed: int | None) -> bytes:
    """The graph with more outputs, and with other weights where there is a seed."""
    model = onnx.load(str(path))
    # ONNX Runtime finds out type and shape itself.
    model.graph.output.extend(onnx.ValueInfoProto(name=one) for one in within)
    if seed is not None:
        redraw(model, seed=seed, source=str(path))
    return model.SerializeToString()


def graph_input(graph: Any, path: Path) -> GraphInput:
    """What a graph expects, read off its input and its first operations.

    Raises:
        InputError: several inputs, or one that is no batch of images.
    """
    import onnx

    constants = {one.name: one for one in graph.initializer}
    inputs = [one for one in graph.input if one.name not in constants]
    if len(inputs) != 1:
        raise InputError(
            f"{path}: expected a graph of one input, found {name_some(one.name for one in inputs)}"
        )
    (only,) = inputs
    kind = only.type.tensor_type
    sides = [one.dim_value or None for one in kind.shape.dim]
    first = len(sides) == 4 and sides[1] in (1, 3)
    if len(sides) != 4 or not (first or sides[3] in (1, 3)):
        raise InputError(
            f"{path}: expected an input [b, 3, h, w] or [b, h, w, 3], found {only.name} {sides}"
        )
    height, width = sides[2:] if first else sides[1:3]
    if height != width:
        raise InputError(f"{path}: expected a square input, found {height} x {width}")
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    steps = list(_first_steps(graph, only.name, constants))
    return GraphInput(
        name=only.name,
        dtype=dtype,
        channels_first=first,
        channels=int(sides[1 if first else 3] or 3),
        side=height,
        batch=sides[0],
        normalises=any(kind != "scale" for kind, _ in steps),
        bytes=dtype == np.uint8 or any(largest > _UNIT for _, largest in steps),
    )


def _first_steps(
    graph: Any, name: str, constants: Mapping[str, Any]
) -> Iterator[tuple[str, float]]:
    """What is done to the input before the first layer: ``scale`` or ``norm``, and its size."""
    import onnx

    values = {one: onnx.numpy_helper.to_array(of) for one, of in constants.items() if _small(of)}
    for node in graph.node:
        if node.op_type == "Constant":
            (tensor,) = [one.t for one in node.attribute if one.name == "value"] or [None]
            if tensor is not None and _small(tensor):
                values[node.output[0]] = onnx.numpy_helper.to_array(tensor)
    while True:
        following = [node for node in graph.node if name in node.input]
        if len(following) != 1:
            return
        (node,) = following
        others = [values.get(one) for one in node.input if one != name]
        if node.op_type in _NORMALISING and len(others) == 1 and others[0] is not None:
            size = float(np.abs(others[0]).max())
            if node.op_type == "Mul" and size:
                size = 1 / size
            scalar = others[0].size == 1 and size > _UNIT and node.op_type in ("Div", "Mul")
            yield "scale" if scalar else "norm", size
        elif node.op_type not in _NEUTRAL:
            return
        name = node.output[0]


def _small(tensor: Any) -> bool:
    # What lies in a file of its own is large.
    return int(np.prod(tensor.dims)) <= _CHANNELS and not tensor.external_data


def _moments(
    look: GraphInput, mean: Sequence[float] | None, std: Sequence[float] | None, path: Path
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    none = (0.0,) * look.channels, (1.0,) * look.channels
    if look.normalises or look.dtype == np.uint8:
        if mean is not None or std is not None:
            raise InputError(
                f"{path}: the graph {_said_of(look)}; leave out mean and std, or they are applied "
                "twice"
            )
        return none
    if mean is None or std is None:
        raise InputError(
            f"{path}: the graph takes float images and normalises nothing itself; say mean and std "
            "(mean: [0, 0, 0], std: [1, 1, 1] where it takes values from 0 to 1)"
        )
    return tuple(mean), tuple(std)


def _said_of(look: GraphInput) -> str:
    scale = "pixel values from 0 to 255" if look.bytes else "values from 0 to 1"
    what = "normalises its input itself" if look.normalises else "normalises nothing"
    kind = "uint8" if look.dtype == np.uint8 else str(look.dtype)
    return f"takes {kind}, {scale}, and {what}"


class _Session:
    """A session as a callable: images to its outputs by name."""

    def __init__(
        self, session: Any, look: GraphInput, outputs: Sequence[str], *, reverse: bool
    ) -> None:
        self._session, self._look, self._outputs = session, look, list(outputs)
        self._reverse = reverse

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        look = self._look
        if self._reverse:
            x = np.flip(x, axis=1 if look.channels_first else -1)
        if look.bytes:
            x = x * 255
        if look.dtype.kind in "ui":
            x = np.round(x)
        x = x.astype(look.dtype)
        at_once = look.batch or len(x)
        parts = []
        for start in range(0, len(x), at_once):
            part = x[start : start + at_once]
            # A graph of a fixed batch gets a full one; the last images are repeated.
            filled = np.concatenate([part, np.repeat(part[-1:], at_once - len(part), axis=0)])
            outputs = self._session.run(self._outputs, {look.name: filled})
            parts.append([one[: len(part)] for one in outputs])
        return {
            name: np.concatenate(of).astype(np.float32)
            for name, of in zip(self._outputs, zip(*parts, strict=True), strict=True)
        }


def _providers(onnxruntime: Any) -> list[str]:
    have = onnxruntime.get_available_providers()
    return [one for one in ("CUDAExecutionProvider", "CPUExecutionProvider") if one in have]


def _digest(path: Path, graph: Any) -> str:
    """SHA-256 of the file and of those that hold its weights."""
    beside = {
        entry.value
        for tensor in graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    whole = hashlib.sha256()
    for file in (path, *(path.parent / one for one in sorted(beside))):
        with file.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()
