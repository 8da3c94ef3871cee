"""Files that JAX code writes: ``.npz`` of big_vision and vision_transformer, msgpack, Orbax.

All become one flat table of arrays, the steps of a name joined by dots. Nothing in them is
executed: an ``.npz`` is read without its pickles, and of msgpack's extensions (Flax writes such
files) only arrays are known.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mgm_jax.encoders.checkpoint import is_orbax, read_orbax
from mgm_jax.errors import InputError

# Codes of Flax's msgpack extensions: an array, and one number with its type.
_ARRAY, _SCALAR = 1, 3
# How Flax writes an array that is too long for one entry.
_CHUNKED = "__msgpack_chunked_array__"


#: What JAX code writes, and who.
JAX_FORMATS = {
    "npz": "`.npz` of big_vision and vision_transformer",
    "msgpack": "`.msgpack` of Flax",
    "orbax": "folders of Orbax",
}


def jax_format(path: Path) -> str:
    """``npz``, ``msgpack`` or ``orbax`` where a path is one of these, else the empty text."""
    if path.is_dir():
        return "orbax" if is_orbax(path) else ""
    if path.suffix == ".npz":
        return "npz"
    return "msgpack" if path.suffix == ".msgpack" else ""


def read_jax(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file or folder by name.

    Raises:
        InputError: it is damaged, of another kind, or holds no arrays.
    """
    kind = jax_format(path)
    readers = {"npz": _npz, "msgpack": _msgpack, "orbax": read_orbax}
    try:
        tree = readers[kind](path)
        table = dict(_flat(tree, ()))
    except InputError:
        raise
    # The bytes are anybody's: a damaged stream fails in more ways than can be listed.
    except (Exception, RecursionError) as error:
        raise InputError(
            f"{path}: cannot be read as a checkpoint in the format {kind}; it is truncated, "
            f"damaged or of another kind ({type(error).__name__}: {error})"
        ) from error
    if not table:
        raise InputError(f"{path}: holds no arrays; expected the parameters of an encoder")
    return table


def digest_of(path: Path) -> str:
    """SHA-256 of a file, or of the names and bytes of all files below a folder."""
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    whole = hashlib.sha256()
    for file in sorted(one for one in path.rglob("*") if one.is_file()):
        whole.update(f"{file.relative_to(path).as_posix()} {digest_of(file)}\n".encode())
    return whole.hexdigest()


def _npz(path: Path) -> dict[str, Any]:
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: expected an archive of NumPy arrays, as numpy.savez writes it")
    with np.load(path, allow_pickle=False) as archive:
        return {name.replace("/", "."): _real(archive[name]) for name in archive.files}


def _real(array: np.ndarray) -> np.ndarray:
    # NumPy writes bfloat16 as two bytes without a meaning.
    return _half(array) if array.dtype == np.dtype("V2") else array


def _half(array: np.ndarray) -> np.ndarray:
    import ml_dtypes

    return array.view(ml_dtypes.bfloat16)


def _msgpack(path: Path) -> Any:
    import msgpack

    def extension(code: int, data: bytes) -> Any:
        if code not in (_ARRAY, _SCALAR):
            return None
        shape, name, buffer = msgpack.unpackb(data, raw=True)
        name = name.decode() if isinstance(name, bytes) else str(name)
        if name == "bfloat16":
            return _half(np.frombuffer(buffer, "V2")).reshape(shape).copy()
        dtype = np.dtype(name)
        if dtype.hasobject:
            raise InputError(f"{path}: holds objects, not numbers ({name})")
        return np.frombuffer(buffer, dtype).reshape(shape).copy()

    tree = msgpack.unpackb(path.read_bytes(), ext_hook=extension, raw=False)
    return _whole(tree)


def _whole(tree: Any) -> Any:
    """Arrays in pieces as one."""
    if not isinstance(tree, Mapping):
        return tree
    if _CHUNKED in tree:
        shape = [tree["shape"][key] for key in sorted(tree["shape"], key=int)]
        chunks = [tree["chunks"][key] for key in sorted(tree["chunks"], key=int)]
        return np.concatenate(chunks).reshape(shape)
    return {key: _whole(value) for key, value in tree.items()}


def _flat(tree: Any, steps: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _flat(value, (*steps, str(key)))
    elif isinstance(tree, list | tuple):
        for index, value in enumerate(tree):
            yield from _flat(value, (*steps, str(index)))
    elif isinstance(tree, np.ndarray):
        yield ".".join(steps), tree
