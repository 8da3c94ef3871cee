"""Arrays of features in files: opened without being read, then read block by block."""

from __future__ import annotations

import hashlib
import json
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.features.stated import ID_COLUMNS, LABEL_COLUMNS, as_classes, called, stated_beside
from mgm_jax.files.found_instead import found_instead
from mgm_jax.files.numpy_files import why_not
from mgm_jax.files.safetensors_head import safetensors_head
from mgm_jax.files.seals import file_sha256
from mgm_jax.geometry.points.groups import column_texts

Block = Callable[[int, int], np.ndarray]
"""From the first row and the one after the last to these rows."""

_SAFETENSORS_TYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "bfloat16", "BOOL": "?"},
    **{f"I{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
}
_PARQUET_ROWS = 8192
# What files are called where it is told what lies in their place.
_MEANT = {".parquet": "a Parquet table", ".h5": "an HDF5 file", ".hdf5": "an HDF5 file"}


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureFile:
    """An array of features in a file or in several shards of it.

    Attributes:
        path: the file, or the first of the shards.
        shape: ``[n, d]``, or ``[images, views, d]``.
        digest: sha256 of the content and of which array of it this is.
        ids: one text a row, where the file states them.
        labels: one label a row, where the file states them.
    """

    path: Path
    shape: tuple[int, ...]
    digest: str
    read: Block = field(repr=False)
    ids: tuple[str, ...] | None = field(default=None, repr=False)
    labels: tuple[Any, ...] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return self.shape[0]


def open_features(paths: Sequence[Path], *, key: str | None = None) -> FeatureFile:
    """Open an array in a file, or in shards that follow each other.

    Args:
        paths: ``.npy``, ``.npz``, ``.safetensors``, ``.parquet``, ``.h5`` or ``.hdf5`` files, or
            folders of zarr; several are joined along their rows, in the order given.
        key: which array, of files that hold several: the name of a tensor, data set or column.

    Returns:
        The array. Nothing of it is in memory; compressed ``.npz`` members and Parquet are read
        from front to back, so blocks are best asked for in their order.

    Raises:
        InputError: a file of another format, a key that is not there or is needed, no floating
            point numbers, not two or three axes, shards that do not fit.
    """
    return open_layers(paths, {"": key})[""]


def open_layers(paths: Sequence[Path], keys: Mapping[str, str | None]) -> dict[str, FeatureFile]:
    """Open several arrays of one file or of its shards; see :func:`open_features`.

    Args:
        paths: the file, or its shards.
        keys: name of each layer to the array that holds it.
    """
    if not paths:
        raise InputError("features: source must name at least one file; got none.")
    # However many layers a file has, it is read through once for its digest.
    content = cache(file_sha256)
    return {
        name: _joined([_open(path, key, content) for path in paths]) for name, key in keys.items()
    }


def _joined(parts: Sequence[FeatureFile]) -> FeatureFile:
    """Shards as one array."""
    first = parts[0]
    for part in parts:
        if len(part.shape) not in (2, 3) or 0 in part.shape:
            raise InputError(
                f"features: {part.path} must hold [n, d], or [images, views, d], with none of them "
                f"0; got shape {part.shape}."
            )
        if part.shape[1:] != first.shape[1:]:
            raise InputError(
                f"features: shards must have rows of one shape; {first.path} has "
                f"{first.shape[1:]} and {part.path} has {part.shape[1:]}."
            )
    if len(parts) == 1:
        return first
    ends = np.cumsum([len(part) for part in parts])

    def read(start: int, stop: int) -> np.ndarray:
        blocks = [
            part.read(max(start - (end - len(part)), 0), min(stop - (end - len(part)), len(part)))
            for part, end in zip(parts, ends, strict=True)
            if start < end and stop > end - len(part)
        ]
        return np.concatenate(blocks)

    total = hashlib.sha256("/".join(part.digest for part in parts).encode())
    for what in ("ids", "labels"):
        lacking = [part.path.name for part in parts if getattr(part, what) is None]
        if 0 < len(lacking) < len(parts):
            raise InputError(
                f"features: shards must all state {what}, or none of them; {name_some(lacking)} "
                f"of {len(parts)} state none."
            )
    stated, labelled = first.ids is not None, first.labels is not None
    return FeatureFile(
        path=first.path,
        shape=(int(ends[-1]), *first.shape[1:]),
        digest=total.hexdigest(),
        read=read,
        ids=tuple(i for part in parts for i in part.ids or ()) if stated else None,
        labels=tuple(i for part in parts for i in part.labels or ()) if labelled else None,
    )


def _open(path: Path, key: str | None, content: Callable[[Path], str]) -> FeatureFile:
    opener = _OPENERS.get(path.suffix.lower())
    if path.is_dir():
        opener = _zarr
    if not path.exists():
        raise InputError(f"features: {path} does not exist.")
    if opener is None:
        raise InputError(
            f"features: {path} has none of the suffixes {', '.join(SUFFIXES)} and is no folder of "
            "zarr; save the array in one of these formats."
        )
    try:
        features = opener(path, key)
        if path.is_dir():
            return features
        total = hashlib.sha256(f"{content(path)}:{features.digest}".encode())
        return replace(features, digest=total.hexdigest())
    except InputError:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        told = (
            why_not(path, error)
            if path.suffix.lower() in (".npy", ".npz")
            else (f": {error}.{found_instead(path, meant=_MEANT.get(path.suffix.lower(), ''))}")
        )
        raise InputError(
            f"features: {path} cannot be read as {path.suffix or 'zarr'}{told}"
        ) from error


def _npy(path: Path, key: str | None) -> FeatureFile:
    if key is not None:
        raise InputError(f"features: {path} holds one array; leave key out, got {key!r}.")
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return _of_array(path, array, key)


def _npz(path: Path, key: str | None) -> FeatureFile:
    heads = {}
    with zipfile.ZipFile(path) as archive:
        for one in archive.namelist():
            with archive.open(one) as file:
                heads[one.removesuffix(".npy")] = _npy_header(file)
    kinds = {one: (shape, dtype) for one, (shape, _, dtype) in heads.items()}
    name = _chosen(path, key, kinds)
    shape, fortran, dtype = heads[name]
    member = f"{name}.npy"
    _check_type(path, dtype)

    def whole(one: str) -> np.ndarray:
        with np.load(path, allow_pickle=False) as archive:
            return archive[one]

    width = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
    state: dict[str, Any] = {"row": 0, "file": None}

    def read(start: int, stop: int) -> np.ndarray:
        if fortran:
            # Column by column: no row is there before all are.
            if state["file"] is None:
                state["file"] = whole(name)
            return state["file"][start:stop]
        # A compressed member can only be read from its front: go on where the last block ended.
        if state["file"] is None or start < state["row"]:
            archive = zipfile.ZipFile(path)
            state["file"], state["row"] = archive.open(member), 0
            _npy_header(state["file"])
        while state["row"] < start:
            skipped = min(start - state["row"], max(1, 2**24 // max(width, 1)))
            state["file"].read(skipped * width)
            state["row"] += skipped
        raw = state["file"].read((stop - start) * width)
        if len(raw) != (stop - start) * width:
            raise InputError(f"features: {path}: {name} ends before row {stop}.")
        state["row"] = stop
        return np.frombuffer(raw, dtype).reshape(stop - start, *shape[1:])

    return _with_stated(path, kinds, name, whole, read)


def _with_stated(
    path: Path,
    kinds: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]],
    name: str,
    whole: Callable[[str], Any],
    read: Block,
) -> FeatureFile:
    """One array of a file that holds several, with the ids and labels among the others."""
    shape, folder = kinds[name][0], name.rpartition("/")[0]
    beside = {
        one: kind[0]
        for one, kind in kinds.items()
        if one != name and one.rpartition("/")[0] in ("", folder)
    }
    # Those of the same folder come first.
    beside = dict(sorted(beside.items(), key=lambda one: one[0].rpartition("/")[0] != folder))
    stated = stated_beside(path, beside, whole, rows=shape[0] if shape else 0)
    return FeatureFile(path=path, shape=shape, digest=name, read=read, **stated)


def _npy_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    reader = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    return reader(file)


def _safetensors(path: Path, key: str | None) -> FeatureFile:
    header, data = safetensors_head(path)
    texts = header.pop("__metadata__", None) or {}
    kinds = {
        one: (tuple(entry["shape"]), _safetensors_type(entry["dtype"]))
        for one, entry in header.items()
    }
    name = _chosen(path, key, kinds)
    _check_type(path, kinds[name][1])

    def mapped(one: str) -> np.ndarray:
        shape, dtype = kinds[one]
        return np.memmap(path, dtype, "r", data + header[one]["data_offsets"][0], shape)

    array = mapped(name)
    found = _with_stated(
        path, kinds, name, mapped, lambda start, stop: np.asarray(array[start:stop])
    )
    # Texts have no place among tensors; what was unpacked of a pickle keeps them in the head.
    kept = {
        what: tuple(json.loads(texts[f"mgm_{what}"]))
        for what in ("ids", "labels")
        if f"mgm_{what}" in texts and getattr(found, what) is None
    }
    return replace(found, **{what: one for what, one in kept.items() if len(one) == len(found)})


def _safetensors_type(name: str) -> np.dtype[Any]:
    import ml_dtypes

    known = _SAFETENSORS_TYPES.get(name, "O")
    return np.dtype(ml_dtypes.bfloat16 if known == "bfloat16" else known)


def _parquet(path: Path, key: str | None) -> FeatureFile:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    schema = file.schema_arrow

    def is_vector(kind: Any) -> bool:
        lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
        return any(one(kind) for one in lists)

    vectors = [one.name for one in schema if is_vector(one.type)]
    # Labels and ids are numbers too, and floating-point ones where pandas lacked one; so is the
    # index that it keeps. A column y beside x is a feature.
    usual_labels = [one for one in LABEL_COLUMNS if one != "y"]
    named = [called(schema.names, usual) for usual in (ID_COLUMNS, usual_labels)]
    plain = [
        one for one in schema if one.name not in named and not one.name.startswith("__index_level_")
    ]
    numbers = [one.name for one in plain if pa.types.is_floating(one.type)]
    others = [
        one.name for one in plain if pa.types.is_integer(one.type) or pa.types.is_decimal(one.type)
    ]
    if key is not None or len(vectors) == 1:
        columns = [_chosen_name(path, key, vectors)]
    elif numbers and not vectors:
        columns = numbers
        if others:
            warnings.warn(
                f"features: {path}: columns of integers are taken for no features: "
                f"{name_some(others)}. Save them as floating-point numbers if they are.",
                stacklevel=2,
            )
    else:
        raise InputError(
            f"features: {path} must have a column of lists, or columns of floating-point numbers; "
            f"it has {name_some(schema.names)}. Give key: the name of the column."
        )
    rows = file.metadata.num_rows
    if not rows:
        raise InputError(f"features: {path} must have a row an image; it has none.")

    def blocks() -> Iterator[np.ndarray]:
        for batch in file.iter_batches(_PARQUET_ROWS, columns=columns):
            if columns[0] in vectors:
                lists = batch.column(0)
                if lists.null_count:
                    raise InputError(f"features: {path}: {columns[0]} has rows without a value.")
                lengths = pc.call_function("list_value_length", [lists]).unique()
                if len(lengths) > 1:
                    raise InputError(
                        f"features: {path}: the lists of {columns[0]} differ in length."
                    )
                flat = lists.flatten().to_numpy(zero_copy_only=False)
                yield flat.reshape(len(lists), -1)
            else:
                yield np.stack([c.to_numpy(zero_copy_only=False) for c in batch.columns], axis=1)

    first = next(blocks())
    _check_type(path, first.dtype)
    state: dict[str, Any] = {"row": 0, "blocks": blocks(), "held": first[:0]}

    def read(start: int, stop: int) -> np.ndarray:
        if start < state["row"]:
            state.update(row=0, blocks=blocks(), held=first[:0])
        while state["row"] + len(state["held"]) < stop:
            # Rows before the first that is asked for are let go.
            drop = min(max(start - state["row"], 0), len(state["held"]))
            state["held"], state["row"] = state["held"][drop:], state["row"] + drop
            more = next(state["blocks"])
            if more.shape[1:] != first.shape[1:]:
                raise InputError(f"features: {path}: the lists of {columns[0]} differ in length.")
            state["held"] = np.concatenate([state["held"], more])
        drop = start - state["row"]
        state["held"], state["row"] = state["held"][drop:], start
        return state["held"][: stop - start]

    def column(usual: Sequence[str]) -> tuple[str, list[Any]] | None:
        name = called([one for one in schema.names if one not in columns], usual)
        if name is None or is_vector(schema.field(name).type):
            return None
        return name, pq.read_table(path, columns=[name]).column(0).to_pylist()

    ids, labels = column(ID_COLUMNS), column(LABEL_COLUMNS)
    return FeatureFile(
        path=path,
        shape=(rows, *first.shape[1:]),
        digest=",".join(columns),
        read=read,
        ids=None if ids is None else tuple(column_texts(ids[1], name="ids")),
        labels=None if labels is None else as_classes(path, *labels),
    )


def _hdf5(path: Path, key: str | None) -> FeatureFile:
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"features: {path} needs h5py: pip install 'mgm_jax[hdf5]'.") from error
    file = h5py.File(path, "r")
    kinds: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
    file.visititems(
        lambda name, one: (
            kinds.update({name: (one.shape or (), one.dtype)})
            if isinstance(one, h5py.Dataset)
            else None
        )
    )
    name = _chosen(path, None if key is None else key.strip("/"), kinds)
    array: Any = file[name]
    _check_type(path, array.dtype)

    def whole(one: str) -> Any:
        values: Any = file[one]
        return (values.asstr() if h5py.check_string_dtype(values.dtype) else values)[:]

    def read(start: int, stop: int) -> np.ndarray:
        return np.asarray(array[start:stop])

    return _with_stated(path, kinds, name, whole, read)


def _zarr(path: Path, key: str | None) -> FeatureFile:
    import tensorstore as ts

    where = path if key is None else path / key
    # A store of embeddings of this project holds its array below the folder.
    if key is None and (path / "embeddings.zarr").is_dir():
        where = path / "embeddings.zarr"
    driver = "zarr3" if (where / "zarr.json").is_file() else "zarr"
    if driver == "zarr" and not (where / ".zarray").is_file():
        inside = sorted(p.parent.name for p in where.glob("*/zarr.json")) + sorted(
            p.parent.name for p in where.glob("*/.zarray")
        )
        raise InputError(
            f"features: {where} is no array of zarr"
            + (f"; give key: one of {name_some(inside)}." if inside else ".")
        )
    array = ts.open(
        {"driver": driver, "kvstore": {"driver": "file", "path": str(where.resolve())}},
        read=True,
        open=True,
    ).result()
    dtype = array.dtype.numpy_dtype
    _check_type(path, dtype)
    total = hashlib.sha256()
    for part in sorted(p for p in where.rglob("*") if p.is_file()):
        total.update(f"{part.relative_to(where).as_posix()}:{file_sha256(part)}".encode())
    return FeatureFile(
        path=path,
        shape=tuple(array.shape),
        digest=total.hexdigest(),
        read=lambda start, stop: array[start:stop].read().result(),
    )


# Each says as the digest which array it took; that of the file's content is joined to it.
_OPENERS: dict[str, Callable[[Path, str | None], FeatureFile]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".parquet": _parquet,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
}

SUFFIXES = tuple(_OPENERS)
"""Files that are read here; a folder of zarr and ``.pt`` files (through the converters) beside."""


def _of_array(path: Path, array: Any, key: str | None) -> FeatureFile:
    _check_type(path, array.dtype)
    return FeatureFile(
        path=path,
        shape=tuple(array.shape),
        digest=key or "",
        read=lambda start, stop: np.asarray(array[start:stop]),
    )


def _chosen(
    path: Path, key: str | None, kinds: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]
) -> str:
    """The array that is named, or the only one that can be features."""
    if key is not None:
        return _chosen_name(path, key, list(kinds))
    fitting = [
        name
        for name, (shape, dtype) in kinds.items()
        if len(shape) in (2, 3) and _is_floating(dtype)
    ]
    # Labels may be floating-point numbers and have two axes.
    if len(fitting) > 1:
        usual = (*ID_COLUMNS, *LABEL_COLUMNS)
        fitting = [one for one in fitting if called([one], usual) is None]
    if not fitting and kinds:
        held = (f"{name} {list(shape)} {dtype}" for name, (shape, dtype) in kinds.items())
        raise InputError(
            f"features: {path} must hold floating-point numbers [n, d] or [images, views, d]; it "
            f"holds {name_some(held)}. Save the features as float32."
        )
    return _chosen_name(path, None, fitting)


def _chosen_name(path: Path, key: str | None, names: Sequence[str]) -> str:
    if key is not None:
        if key not in names:
            raise InputError(
                f"features: {path} has no array {key!r}; it has {name_some(names) or 'none'}."
            )
        return key
    if len(names) != 1:
        raise InputError(
            f"features: {path} holds {len(names)} arrays ({name_some(names) or 'none'}); give key: "
            "the name of the one to take."
        )
    return names[0]


def _check_type(path: Path, dtype: np.dtype[Any]) -> None:
    if not _is_floating(dtype):
        raise InputError(
            f"features: {path} must hold floating-point numbers; got {dtype}. Save them as float32."
        )


def _is_floating(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or dtype.name == "bfloat16"
