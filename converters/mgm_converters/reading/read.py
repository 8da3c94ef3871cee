"""Reading a checkpoint file without running anything that stands in it.

A safetensors file holds nothing but tensors and texts, and needs no PyTorch to be read
(:mod:`mgm_converters.reading.safetensors_file`). A PyTorch checkpoint is a pickle, and a pickle
may name any function and have it called. So the file goes through PyTorch's restricted reader
(``weights_only=True``), which builds tensors and plain containers and refuses every other type.
Training code stores more: its command line as an ``argparse.Namespace``, settings as objects of a
library, losses as NumPy scalars, whole modules. A walk through the pickle
(:mod:`mgm_converters.reading.pickles.scan`) finds what it names; for the harmless ones
(:mod:`mgm_converters.reading.pickles.harmless`) the reader is handed an :class:`Inert` stand-in, so
not even those types are imported or called.

Pickles that PyTorch did not write (BYOL's) and TorchScript archives (OpenAI's CLIP) go through a
reader of our own that works in the same way: see :mod:`mgm_converters.reading.pickles.restricted`.
Weights in several files are read by their index (:mod:`mgm_converters.reading.files.shards`); a
file that is something else is named as what it is (:mod:`mgm_converters.reading.files.kinds`).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mgm_converters.reading.files.kinds import other_kind
from mgm_converters.reading.files.shards import index_of_part, is_index, joined, read_index
from mgm_converters.reading.jax_files import digest_of, jax_format, read_jax
from mgm_converters.reading.limits import RAISE, BeyondLimits, Limits, check_archive
from mgm_converters.reading.partitioned import partition_of_file, partition_of_type
from mgm_converters.reading.pickles.haiku import read_arrays_in_zip, read_haiku
from mgm_converters.reading.pickles.harmless import DICTIONARIES, is_harmless
from mgm_converters.reading.pickles.restricted import Inert, RefusedType
from mgm_converters.reading.pickles.scan import scan_pickles
from mgm_converters.reading.safetensors_file import read_safetensors
from mgm_converters.reading.torchscript import is_torchscript, read_torchscript
from mgm_converters.reading.zip_files import damaged_member
from mgm_jax.errors import InputError

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
        format: ``pytorch``, ``safetensors``, ``torchscript``, ``pickle``, ``npz``, ``msgpack`` or
            ``orbax``.
        content: what it holds: nested containers of tensors, plain values and :class:`Inert`. The
            tensors of a safetensors file are NumPy arrays, those of any other PyTorch's.
        metadata: key to text, which only a safetensors file carries.
    """

    path: Path
    sha256: str
    format: str
    content: Any
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_checkpoint(file: str | Path, *, limits: Limits | None = None) -> Checkpoint:
    """Read a checkpoint; nothing in the file is executed.

    Args:
        file: path of a file written by ``torch.save`` (either of its formats), ``torch.jit.save``
            or safetensors, of a pickle of NumPy arrays, of the index of a checkpoint in parts, or
            of one that JAX code wrote: an ``.npz``, msgpack of Flax, a folder of Orbax.
        limits: on what the file may unfold to.

    Raises:
        InputError: the file is missing, truncated or of another kind (the message says which),
            unfolds to too much, names a type that is not harmless (the message says which), is
            one part of several, or is no safetensors file and PyTorch is missing or too old.
    """
    path = Path(file)
    limits = limits or Limits()
    if kind := jax_format(path):
        try:
            if kind == "npz":
                check_archive(path, limits)
        except BeyondLimits as beyond:
            raise InputError(f"{path}: {beyond}. {RAISE}") from beyond
        return Checkpoint(
            path=path, sha256=digest_of(path), format=kind, content={"params": read_jax(path)}
        )
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no such file"
        raise InputError(f"{path}: expected a checkpoint file, found {kind}")
    if is_index(path):
        return _read_parts(path, limits)
    whole = index_of_part(path)
    if whole is not None:
        raise InputError(
            f"{path}: it is one part of several; name their folder or their index, {whole.name}"
            + ("" if whole.is_file() else ", which is not beside it: fetch it too")
        )
    return _read_one(path, limits)


def _read_parts(index: Path, limits: Limits) -> Checkpoint:
    parts = read_index(index)
    read = {part: _read_one(part, limits) for part in parts}
    digests = "".join(f"{one.path.name} {one.sha256}\n" for one in read.values())
    table = joined(
        {part: (parts[part], _only_table(one)) for part, one in read.items()}, index=index
    )
    return Checkpoint(
        path=index,
        sha256=hashlib.sha256(digests.encode()).hexdigest(),
        format=next(iter(read.values())).format,
        content=table,
        metadata={key: text for one in read.values() for key, text in one.metadata.items()},
    )


def _only_table(part: Checkpoint) -> dict[str, Any]:
    if not isinstance(part.content, Mapping):
        raise InputError(f"{part.path}: expected a table of named tensors in a part")
    return dict(part.content)


def _read_one(path: Path, limits: Limits) -> Checkpoint:
    with path.open("rb") as stream:
        head = stream.read(len(_LEGACY_TORCH))
        stream.seek(0)
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if not head:
        raise InputError(f"{path}: the file is empty; fetch it again")
    other = partition_of_file(path) or other_kind(path)
    if other:
        raise InputError(f"{path}: cannot be read as a checkpoint: {other}")
    if path.suffix == ".safetensors" or _looks_like_safetensors(head, path.stat().st_size):
        tensors, metadata = _read_own(path, read_safetensors, "safetensors")
        return Checkpoint(
            path=path, sha256=sha256, format="safetensors", content=tensors, metadata=metadata
        )
    torch = import_torch()
    own = head.startswith(_PICKLE) and head != _LEGACY_TORCH
    kind = "pickle" if own else "PyTorch"
    names: Iterable[str] = ()
    try:
        check_archive(path, limits)
        names = scan_pickles(path, limits, alone=own)
    except BeyondLimits as error:
        raise InputError(
            f"{path}: would unfold to more than a checkpoint may: {error}. {RAISE}"
        ) from error
    # The bytes are anybody's: a damaged stream fails in more ways than can be listed.
    except (Exception, RecursionError) as error:
        raise _damaged(path, kind, error) from error
    if member := damaged_member(path):
        raise InputError(
            f"{path}: cannot be read as a checkpoint: {member} in it is not what its checksum "
            "says; the file was damaged on a disk or on its way. Fetch it again"
        )
    if own:
        kind, content = "pickle", _read_own(path, read_haiku, "pickle")
    elif head.startswith(b"PK") and is_torchscript(path):
        kind, content = "torchscript", _read_own(path, read_torchscript, "TorchScript")
    else:
        kind, content = "pytorch", _read_pickle(path, torch, names)
        if head.startswith(b"PK") and _ARRAYS & {*names} and not _names_tensors(names):
            # Stand-ins hold nothing of arrays. What reads arrays refuses types of settings and
            # arrays of objects, and a file with such has its weights elsewhere, or none.
            with contextlib.suppress(Exception):
                content = read_arrays_in_zip(path)
    return Checkpoint(path=path, sha256=sha256, format=kind, content=content)


_ARRAYS = {f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")}


def _names_tensors(names: Iterable[str]) -> bool:
    return any(name.startswith("torch.") for name in names)


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


class _Dictionary(Inert):
    """Stands for a dictionary of another library: an ordered one, which PyTorch can fill."""

    def __new__(cls, *_: Any) -> Any:
        return OrderedDict()


def _read_pickle(path: Path, torch: Any, names: Iterable[str]) -> Any:
    import pickle

    harmless = sorted(filter(is_harmless, names))
    try:
        return _load(
            path, torch, {n: _Dictionary if n in DICTIONARIES else Inert for n in harmless}
        )
    except pickle.UnpicklingError as error:
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        if refused is not None:
            raise _refused(path, refused[1]) from error
        if "Can only SETITEM" not in str(error):
            raise _damaged(path, "PyTorch", error) from error
    except Exception as error:
        # The bytes are anybody's: a damaged stream fails in more ways than can be listed.
        raise _damaged(path, "PyTorch", error) from error
    try:
        # A class of its own that is filled like a dictionary: all that are not known may be one.
        return _load(path, torch, dict.fromkeys(harmless, _Dictionary))
    except Exception as error:
        raise _damaged(path, "PyTorch", error) from error


def _load(path: Path, torch: Any, stand_ins: Mapping[str, type]) -> Any:
    """PyTorch's restricted reader; it takes its own types before any stand-in."""
    made = [
        (type(name.rpartition(".")[2], (kind,), {"type_name": name}), name)
        for name, kind in stand_ins.items()
    ]
    with warnings.catch_warnings(), torch.serialization.safe_globals(made):
        # PyTorch warns of every pickle protocol but its own; the reader refuses what it must.
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def _read_own(path: Path, read: Callable[[Path], Any], kind: str) -> Any:
    try:
        return read(path)
    except RefusedType as error:
        raise _refused(path, error.type_name) from error
    # As above: damaged bytes fail in more ways than can be listed.
    except (Exception, RecursionError) as error:
        raise _damaged(path, kind, error) from error


def _refused(path: Path, name: str) -> InputError:
    shares = partition_of_type(name)
    if shares:
        return InputError(f"{path}: {shares}")
    return InputError(
        f"{path}: the file names the type {name}, which is not among the harmless types that a "
        "checkpoint may hold; nothing in the file was executed. If you wrote it yourself, save the "
        "weights alone from the program that did: torch.save(model.state_dict(), FILE)"
    )


def _damaged(path: Path, kind: str, error: BaseException) -> InputError:
    said = _first_line(str(error))
    detail = f"{type(error).__name__}: {said[:200]}" if said else type(error).__name__
    return InputError(
        f"{path}: cannot be read as a {kind} checkpoint of {path.stat().st_size} bytes; it is "
        f"truncated, damaged or of another kind ({detail}). Compare its size and sha256 with the "
        "source, and fetch it again"
    )


# What PyTorch advises where its restricted reader fails: to read without restriction.
_ADVICE = re.compile(r"weights_only|weights only|safe_globals|trust", re.IGNORECASE)


def _first_line(text: str) -> str:
    """The first line of a message that gives no advice to load unsafely."""
    _, _, inner = text.partition("WeightsUnpickler error: ")
    for line in (inner or text).strip().splitlines():
        if line.strip() and not _ADVICE.search(line):
            return line.strip()
    return "refused by the restricted reader"
