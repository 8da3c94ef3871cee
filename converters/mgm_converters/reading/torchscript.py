"""Weights out of a TorchScript archive, without loading the program that is in it.

``torch.jit.save`` writes a zip: the code of the modules, ``data.pkl`` with their attributes, and
one file a tensor in ``data/``. Only the last two are read here, with stand-ins for the modules.
So OpenAI publishes CLIP.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from mgm_converters.reading.pickles.restricted import Inert, RestrictedUnpickler, Table
from mgm_converters.reading.zip_files import open_zip

# Tensors lie as deep as modules nest.
_MAX_DEPTH = 64

_STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}


class Values(Inert):
    """A list that TorchScript wraps to remember its type."""

    def __new__(cls, *arguments: Any) -> Any:
        return arguments[0] if arguments else []


class Rebuilt(Inert):
    """``torch._utils._rebuild_tensor_v2``: a view of a storage."""

    def __new__(cls, *arguments: Any) -> Any:
        import torch

        storage, offset, size, stride = arguments[:4]
        size, stride = tuple(size), tuple(stride)
        numbers = (offset, *size, *stride)
        if any(not isinstance(n, int) or n < 0 for n in numbers) or len(size) != len(stride):
            raise ValueError(f"a tensor of the size {size} with the strides {stride}")
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if 0 not in size and last >= storage.numel():
            raise ValueError(f"a tensor that needs {last + 1} numbers of {storage.numel()}")
        return torch.as_strided(storage, size, stride, offset)


_TYPES: Mapping[str, type] = {
    "torch._utils._rebuild_tensor_v2": Rebuilt,
    "collections.OrderedDict": Table,
    **{f"torch.{name}": Inert for name in _STORAGES},
    **{
        f"torch.jit._pickle.{name}": Values
        for name in (
            "build_intlist",
            "build_tensorlist",
            "build_doublelist",
            "build_boollist",
            "restore_type_tag",
        )
    },
}


def is_torchscript(path: Path) -> bool:
    """Whether a zip holds the code of a TorchScript program; a damaged zip is none."""
    try:
        with open_zip(path) as archive:
            names = archive.namelist()
    # Directories of damaged zips fail in several ways, not in BadZipFile alone.
    except Exception:
        return False
    return any("/code/" in name or name.endswith("/constants.pkl") for name in names)


def read_torchscript(path: Path) -> dict[str, Any]:
    """Names of all tensors and plain attributes of the modules, nested names joined by dots.

    Raises:
        RefusedType: ``data.pkl`` names another type than modules and tensors.
        Exception: a damaged archive fails in many ways.
    """
    with open_zip(path) as archive:
        pickles = [name for name in archive.namelist() if name.count("/") == 1]
        (data,) = [name for name in pickles if name.endswith("/data.pkl")]
        root = data.removesuffix("data.pkl")
        storages: dict[str, Any] = {}

        def load(pid: Any) -> Any:
            _, kind, key, _, count = pid
            if key not in storages:
                storages[key] = _storage(archive, f"{root}data/{key}", kind, count)
            return storages[key]

        with archive.open(_stored(archive, data)) as stream:
            module = RestrictedUnpickler(
                cast(BinaryIO, stream), types=_TYPES, inert=r"__torch__[\w.]*", load=load
            ).load()
    return dict(_attributes(module, path="", depth=0))


def _stored(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    info = archive.getinfo(name)
    # PyTorch never packs; a packed entry could unfold to any size.
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed, which PyTorch never does")
    return info


def _storage(archive: zipfile.ZipFile, name: str, kind: Any, count: int) -> Any:
    import torch

    dtype = getattr(torch, _STORAGES[kind.type_name.removeprefix("torch.")])
    content = bytearray(archive.read(_stored(archive, name)))
    tensor = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
    if tensor.numel() < count:
        raise ValueError(f"{name} holds {tensor.numel()} numbers of {count}")
    return tensor


def _attributes(module: Any, *, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    import torch

    if not isinstance(module, Inert) or not isinstance(module.state, Mapping) or depth > _MAX_DEPTH:
        return
    for name, value in module.state.items():
        if isinstance(value, torch.Tensor | int | float | str):
            yield f"{path}{name}", value
        else:
            yield from _attributes(value, path=f"{path}{name}.", depth=depth + 1)
