"""Reading a checkpoint file without running anything that stands in it.

A safetensors file holds nothing but tensors and texts, and needs no PyTorch to be read
(:mod:`mgm_converters.reading.safetensors_file`). A PyTorch checkpoint is a pickle, and a pickle
may name any function and have it called. So the file goes through PyTorch's restricted reader
(``weights_only=True``), which builds tensors and plain containers and refuses every other type.
Old training code stored a little more: its command line as an ``argparse.Namespace``, losses as
NumPy scalars. For a short list of such harmless names the reader is handed an :class:`Inert`
stand-in, so not even those types are imported or called.

Pickles that PyTorch did not write (BYOL's) and TorchScript archives (OpenAI's CLIP) go through a
reader of our own that works in the same way: see :mod:`mgm_converters.reading.restricted_pickle`.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mgm_converters.reading.haiku_pickle import read_haiku
from mgm_converters.reading.restricted_pickle import Inert, RefusedType
from mgm_converters.reading.safetensors_file import read_safetensors
from mgm_converters.reading.torchscript import is_torchscript, read_torchscript
from mgm_jax.errors import InputError

# Names a checkpoint may hold besides what PyTorch allows by itself. None of them is ever imported.
HARMLESS_TYPES = (
    "argparse.Namespace",
    "types.SimpleNamespace",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib.PurePosixPath",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
)

# How every pickle since protocol 2 opens, and how PyTorch's own from before it wrote zips.
_PICKLE = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

# Before 2.6 the restricted reader itself could be made to run code (CVE-2025-32434).
_OLDEST_SAFE_TORCH = (2, 6)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A file that was read.

    Attributes:
        path: where it lies.
        sha256: of its bytes, hexadecimal.
        format: ``pytorch``, ``safetensors``, ``torchscript`` or ``pickle``.
        content: what it holds: nested containers of tensors, plain values and :class:`Inert`. The
            tensors of a safetensors file are NumPy arrays, those of any other PyTorch's.
        metadata: key to text, which only a safetensors file carries.
    """

    path: Path
    sha256: str
    format: str
    content: Any
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_checkpoint(file: str | Path) -> Checkpoint:
    """Read a checkpoint; nothing in the file is executed.

    Args:
        file: path of a file written by ``torch.save`` (either of its formats), ``torch.jit.save``
            or safetensors, or of a pickle of NumPy arrays.

    Raises:
        InputError: the file is missing, truncated or of another kind, names a type outside
            :data:`HARMLESS_TYPES` (the message says which), or is no safetensors file and
            PyTorch is missing or too old.
    """
    path = Path(file)
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no such file"
        raise InputError(f"{path}: expected a checkpoint file, found {kind}")
    with path.open("rb") as stream:
        head = stream.read(len(_LEGACY_TORCH))
        stream.seek(0)
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if not head:
        raise InputError(f"{path}: the file is empty; fetch it again")
    if path.suffix == ".safetensors" or _looks_like_safetensors(head, path.stat().st_size):
        tensors, metadata = _read_own(path, read_safetensors, "safetensors")
        return Checkpoint(
            path=path, sha256=sha256, format="safetensors", content=tensors, metadata=metadata
        )
    torch = import_torch()
    if head.startswith(_PICKLE) and head != _LEGACY_TORCH:
        kind, content = "pickle", _read_own(path, read_haiku, "pickle")
    elif head.startswith(b"PK") and is_torchscript(path):
        kind, content = "torchscript", _read_own(path, read_torchscript, "TorchScript")
    else:
        kind, content = "pytorch", _read_pickle(path, torch)
    return Checkpoint(path=path, sha256=sha256, format=kind, content=content)


def import_torch() -> Any:
    """The torch module; InputError where it is missing or its restricted reader is unsafe."""
    try:
        import torch
    except ImportError as error:
        raise InputError(
            "converting a checkpoint that is no safetensors file needs PyTorch, which is not "
            "installed: pip install 'mgm_jax[convert]'"
        ) from error
    version = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if version < _OLDEST_SAFE_TORCH:
        raise InputError(
            f"PyTorch {torch.__version__} can be made to run code that stands in a checkpoint; "
            f"expected {'.'.join(map(str, _OLDEST_SAFE_TORCH))} or later: pip install -U torch"
        )
    return torch


def _looks_like_safetensors(head: bytes, size: int) -> bool:
    # The format opens with the length of its JSON header, eight bytes, little end first.
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size


def _read_pickle(path: Path, torch: Any) -> Any:
    import pickle

    stand_ins = [(type(name.rpartition(".")[2], (Inert,), {}), name) for name in HARMLESS_TYPES]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):
            # PyTorch warns of every pickle protocol but its own; the reader refuses what it must.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        if refused is None:
            raise _damaged(path, "PyTorch", error) from error
        raise _refused(path, refused[1]) from error
    except Exception as error:
        # The bytes are anybody's: a damaged stream fails in more ways than can be listed.
        raise _damaged(path, "PyTorch", error) from error


def _read_own(path: Path, read: Callable[[Path], Any], kind: str) -> Any:
    try:
        return read(path)
    except RefusedType as error:
        raise _refused(path, error.type_name) from error
    # As above: damaged bytes fail in more ways than can be listed.
    except (Exception, RecursionError) as error:
        raise _damaged(path, kind, error) from error


def _refused(path: Path, name: str) -> InputError:
    return InputError(
        f"{path}: the file names the type {name}, which is not among the harmless types that a "
        "checkpoint may hold; nothing in the file was executed. If you trust where it comes from, "
        "load it in a program of your own and save the weights alone: "
        "torch.save(model.state_dict(), FILE)"
    )


def _damaged(path: Path, kind: str, error: Exception) -> InputError:
    said = str(error).strip().splitlines()
    detail = f"{type(error).__name__}: {said[0][:200]}" if said else type(error).__name__
    return InputError(
        f"{path}: cannot be read as a {kind} checkpoint of {path.stat().st_size} bytes; it is "
        f"truncated, damaged or of another kind ({detail}). Compare its size and sha256 with the "
        "source, and fetch it again"
    )
