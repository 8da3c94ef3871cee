"""Pickles of Haiku parameters, as BYOL publishes them, made into one flat table of tensors.

The file holds ``experiment_state``, a named tuple whose first entry are the parameters of the
online network and whose third is its state; either is a dictionary of modules, each a dictionary
of arrays. Whatever else lies there (target network, optimizer) is named and left.
"""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from mgm_converters.reading.pickles.restricted import (
    NUMPY_TYPES,
    Array,
    Inert,
    RestrictedUnpickler,
    Scalar,
    Table,
)
from mgm_converters.reading.zip_files import open_zip

_TYPES: Mapping[str, type] = dict(NUMPY_TYPES) | {
    f"haiku._src.data_structures.{name}": Table
    for name in ("FlatMapping", "FlatMap", "frozendict", "to_immutable_dict")
}

# States of experiments and optimizers: named tuples of which only the order is used.
_INERT = (
    r"(?:[\w.]*\.)?byol_experiment\._ByolExperimentState"
    r"|(?:[\w.]*\.)?optimizers\.\w*State"
    r"|optax\.[\w.]*State"
    r"|jax\.experimental\.(?:optix|optimizers)\.\w*State"
)

# Places in the named tuple of the experiment.
_PLACES = {"online_params": 0, "target_params": 1, "online_state": 2, "target_state": 3}
_ONLINE = ("online_params", "online_state")


def read_haiku(path: Path) -> Any:
    """What a pickle holds: for one of BYOL's a table of tensors, else the plain content.

    Raises:
        RefusedType: the pickle names a type that is neither NumPy's nor of BYOL's states.
        Exception: a damaged stream fails in many ways.
    """
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _read(cast(BinaryIO, data))


def read_arrays_in_zip(path: Path) -> Any:
    """What a file of PyTorch holds that was given arrays of NumPy in place of tensors.

    Raises:
        RefusedType: the pickle names a type that is neither NumPy's nor of BYOL's states.
        Exception: a damaged stream fails in many ways.
    """
    with open_zip(path) as archive:
        (name,) = (one for one in archive.namelist() if one.rpartition("/")[2] == "data.pkl")
        return _read(io.BytesIO(archive.read(name)))


def _read(stream: BinaryIO) -> Any:
    content = RestrictedUnpickler(stream, types=_TYPES, inert=_INERT).load()
    if not isinstance(content, Mapping) or "experiment_state" not in content:
        return _plain(content, depth=0)
    parts = _parts(content["experiment_state"])
    flat = {
        name: _tensor(value)
        for part in _ONLINE
        for module, leaves in parts.get(part, {}).items()
        if isinstance(leaves, Mapping)
        for name, value in _leaves(str(module), leaves)
    }
    plain = {
        key: value for key, value in content.items() if isinstance(value, str | int | float | bool)
    }
    return plain | {"experiment_state": flat} | {part: "left" for part in parts.keys() - {*_ONLINE}}


def _parts(state: Any) -> dict[str, Mapping[Any, Any]]:
    """The networks of an experiment by name."""
    if isinstance(state, Inert):
        state = {
            name: state.arguments[index]
            for name, index in _PLACES.items()
            if index < len(state.arguments)
        }
    if not isinstance(state, Mapping):
        return {}
    return {str(name): part for name, part in state.items() if isinstance(part, Mapping)}


def _leaves(module: str, leaves: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """``res_net50/~/initial_conv`` and ``w`` joined to ``res_net50.initial_conv.w``."""
    path = ".".join(step for step in module.split("/") if step != "~")
    return ((f"{path}.{leaf}", value) for leaf, value in leaves.items())


def _tensor(value: Any) -> Any:
    import torch

    array = value.value if isinstance(value, Array | Scalar) else None
    if array is None:
        return value
    # PyTorch knows one order of bytes and wants to own what it may write to.
    native = np.array(array, dtype=array.dtype.newbyteorder("="))
    return torch.from_numpy(native)


def _plain(content: Any, *, depth: int) -> Any:
    """Containers with arrays as tensors; a file may hold itself, so the depth ends."""
    if depth < 8 and isinstance(content, Mapping):
        return {key: _plain(value, depth=depth + 1) for key, value in content.items()}
    return _tensor(content)
