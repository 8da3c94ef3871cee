"""From a source of a study to an encoder that another library runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mgm_converters.foreign.hf_model import open_huggingface
from mgm_converters.foreign.onnx_graph import open_onnx
from mgm_converters.foreign.request import ModelRequest
from mgm_converters.foreign.timm_model import open_timm
from mgm_jax.encoders import WrappedEncoder
from mgm_jax.errors import InputError

#: Sources that are run as they are, and what runs them.
SOURCES = {
    "torch:timm/NAME": "a model of timm, by PyTorch",
    "torch:hf/NAME": "the vision network of a model of transformers, a folder or a name on the hub",
    "onnx:FILE": "a graph of ONNX, by ONNX Runtime (`mgm_jax[onnx]`)",
}

# What stands before the name, and who opens it.
_OPENERS = {"torch:timm/": open_timm, "torch:hf/": open_huggingface, "onnx:": open_onnx}

# Keys of an entry that say something of a checkpoint; a model that is run as it is has none.
_OF_CHECKPOINTS = ("model", "method", "heads", "copy", "prefix", "key")


def open_model(entry: Any, base: Path, seed: int) -> WrappedEncoder:
    """The encoder of an entry of ``torch:timm/NAME``, ``torch:hf/NAME`` or ``onnx:FILE``.

    No code of the study is executed, and nothing is fetched but what the library of the user
    fetches, which looks into its own cache first.

    Args:
        entry: of a study; its size, mean, std, channel_order, taps and init are heeded.
        base: folder that relative paths start from.
        seed: of random weights, with ``init: random``.

    Raises:
        InputError: another source, a library that is not installed, a model that it cannot open,
            or an input that is not stated.
    """
    unfit = [one for one in entry.conversion if one in _OF_CHECKPOINTS and one != "method"]
    if unfit:
        raise InputError(
            f"encoders: {' and '.join(unfit)} are said of a checkpoint that is converted, and "
            f"{entry.source} is run as it is"
        )
    request = ModelRequest(
        base=base,
        taps=entry.taps,
        size=entry.size,
        mean=entry.mean,
        std=entry.std,
        seed=None if entry.init is None else seed,
        channel_order=entry.channel_order,
    )
    for start, opener in _OPENERS.items():
        if entry.source.startswith(start):
            return opener(entry.source.removeprefix(start), request)
    raise InputError(f"encoders: expected {', '.join(SOURCES)}; got {entry.source}")
