"""Tar shards of webdataset: files of one name and several suffixes are one sample."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.images.decode.formats import TAR_SUFFIXES, image_suffixes, why_passed_over
from mgm_jax.images.decode.limits import Limits
from mgm_jax.images.decode.regular_file import kind_of
from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.sources.contents import Contents, source_of_contents
from mgm_jax.images.sources.files.listing import PassedOverFiles
from mgm_jax.images.sources.files.names import visible
from mgm_jax.images.sources.files.tar_archive import plain_tar, tar_members
from mgm_jax.images.sources.options import SourceOptions
from mgm_jax.images.sources.tables.fields import (
    LABEL_COLUMNS,
    column_of,
    encode_classes,
    encode_text,
)
from mgm_jax.images.sources.tables.shards import shards_of_split, splits_note

# Bytes of a member that says something of an image, and of all of them together.
_TEXT_BYTES = 2**20
_ALL_TEXT_BYTES = 2**31
_CLASS_SUFFIXES = ("cls", "label")


class _Part(NamedTuple):
    shard: int
    start: int
    size: int


def webdataset_source(files: Sequence[Path], options: SourceOptions, *, where: str) -> ImageSource:
    """Source of the images in tar shards.

    ``key.jpg``, ``key.cls`` and ``key.json`` are one sample, whose key is everything before the
    first dot of the file's name. The class is the text in ``.cls``, or in the JSON object under
    ``label``, ``cls``, ``class`` or ``target``; its other entries are kept as values of the image.
    The id of an image is its key, with the name of the shard before it where keys repeat; images
    come in the order of their ids, however they were cut into shards. Shards that are compressed
    are unpacked once into a file without a name.

    Args:
        files: the shards.
        options: a split is of the shards whose name or folder says so; fields are the suffix of
            the images, where samples hold several, and suffix or JSON key of label and id.
        where: what an error calls them.

    Raises:
        InputError: damaged or too large shards, no images, samples of several images, labels of
            another kind.
    """
    fields, limits = options.fields, options.limits
    files = shards_of_split(files, options.split, where=where)
    shards = _Shards(files, limits)
    passed_over = PassedOverFiles()
    images: dict[tuple[int, str], dict[str, _Part]] = {}
    facts: dict[tuple[int, str], dict[str, Any]] = {}
    for shard in range(len(files)):
        for inner, part in shards.members(shard, passed_over):
            folder, slash, leaf = inner.rpartition("/")
            stem, _, suffix = leaf.partition(".")
            key = shard, f"{folder}{slash}{stem}"
            suffix = suffix.lower()
            if f".{suffix.rpartition('.')[2]}" in image_suffixes():
                images.setdefault(key, {})[suffix] = part
            elif suffix == "json" or suffix in _CLASS_SUFFIXES or suffix == fields.label:
                facts.setdefault(key, {})[suffix] = shards.text(part, inner)
            else:
                passed_over.add(inner, why_passed_over(inner) or "not read")
        limits.check("files", len(images), name=where, what="images")
    for _, alone in sorted(facts.keys() - images.keys()):
        passed_over.add(alone, "samples without an image")
    if not images:
        raise InputError(f"{where} holds no samples with an image, such as key.jpg and key.cls.")
    keys = sorted(images, key=lambda one: (one[1], one[0]))
    parts = [_image(images[key], fields.image, f"{where}/{visible(key[1])}") for key in keys]
    said = [_said(facts.get(key, {}), f"{where}/{visible(key[1])}") for key in keys]
    labels, classes = _labels(said, fields.label, where)
    ids = _ids(keys, files, said, fields.id, where)

    def read(position: int) -> bytes:
        return shards.read(parts[position], f"{where}/{ids[position]}")

    contents = Contents(
        where=where,
        ids=ids,
        labels=labels,
        classes=classes,
        read=read,
        columns=_columns(said),
        passed_over=passed_over.result(),
        notes=() if options.split is not None else splits_note(files),
    )
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return source_of_contents(contents.take(order), options)


def is_webdataset(path: Path) -> bool:
    """Whether the first members of one plain tar archive are those of samples with a ``.cls``."""
    try:
        with path.open("rb") as file:
            if file.read(2) in (b"\x1f\x8b", b"BZ", b"\xfd7", b"\x28\xb5"):
                return False
            for index, (inner, _) in enumerate(tar_members(file, str(path))):
                if inner.lower().endswith(".cls"):
                    return True
                if index >= _LOOKED_AT:
                    return False
    except (OSError, InputError):
        pass
    return False


# Members that are looked at to tell a webdataset from an archive of folders.
_LOOKED_AT = 16


class _Shards:
    """Tar archives that are read at random; only those that had to be unpacked stay open."""

    def __init__(self, files: Sequence[Path], limits: Limits) -> None:
        self._files, self._limits = files, limits
        self._texts = 0
        self._unpacked: dict[int, tuple[IO[bytes], int]] = {}
        self._room: IO[bytes] | None = None

    def members(self, shard: int, passed_over: PassedOverFiles) -> list[tuple[str, _Part]]:
        """Regular files of a shard, the last of each name."""
        path, parts = self._files[shard], {}
        title = visible(str(path))
        try:
            if kind := kind_of(path.stat().st_mode):
                raise InputError(f"{title} is {kind}; expected a tar archive.")
        except OSError as error:
            raise InputError(f"{title} cannot be read: {error.strerror or error}.") from error
        room = self._room or tempfile.TemporaryFile()  # noqa: SIM115
        begin = room.seek(0, os.SEEK_END)
        file = plain_tar(path, title, self._limits, target=room)
        if file is room:
            self._room = room
            self._unpacked[shard] = room, begin
        else:
            begin = 0
        for inner, member in tar_members(file, title, start=begin):
            if "../" in f"{inner}/" or not member.isreg() or member.issparse():
                passed_over.add(inner, "links, names that lead out, and no regular files")
                continue
            if inner in parts:
                passed_over.add(inner, "earlier versions of files that the archive holds again")
            parts[inner] = _Part(shard, member.offset_data, member.size)
            self._limits.check("files", len(parts), name=title, what="files")
        if file is not room:
            file.close()
        return list(parts.items())

    def read(self, part: _Part, title: str) -> bytes:
        """Bytes of a member."""
        self._limits.check("file_bytes", part.size, name=title, what="bytes")
        if part.shard in self._unpacked:
            content = os.pread(self._unpacked[part.shard][0].fileno(), part.size, part.start)
        else:
            with self._files[part.shard].open("rb", buffering=0) as file:
                content = os.pread(file.fileno(), part.size, part.start)
        if len(content) != part.size:
            raise InputError(
                f"{title} is cut short: {len(content)} of {part.size} bytes are there."
            )
        return content

    def text(self, part: _Part, name: str) -> str:
        """A member as text."""
        title = visible(f"{self._files[part.shard]}/{name}")
        self._texts += part.size
        if part.size > _TEXT_BYTES or self._texts > _ALL_TEXT_BYTES:
            raise InputError(f"{title} has {part.size:,} bytes, too many for a label.")
        try:
            return self.read(part, title).decode("utf-8-sig").strip()
        except UnicodeDecodeError as error:
            raise InputError(f"{title} is no text in UTF-8: {error}") from error


def _image(images: dict[str, _Part], wanted: str | None, title: str) -> _Part:
    if wanted is not None:
        if wanted.lower() not in images:
            raise InputError(
                f"{title} has no .{wanted}, which image= names; it has {name_some(images)}."
            )
        return images[wanted.lower()]
    if len(images) > 1:
        raise InputError(
            f"{title} holds several images, {name_some(images)}; "
            "name the suffix of one with image:."
        )
    return next(iter(images.values()))


def _said(texts: dict[str, str], title: str) -> dict[str, Any]:
    """What a sample says of its image: the entries of its JSON object, and its other members."""
    said: dict[str, Any] = {}
    if "json" in texts:
        try:
            content = json.loads(texts["json"])
        except (ValueError, RecursionError) as error:
            raise InputError(f"{title}.json cannot be read: {error}") from error
        said = content if isinstance(content, dict) else {"json": content}
    return said | {suffix: text for suffix, text in texts.items() if suffix != "json"}


def _labels(
    said: Sequence[dict[str, Any]], wanted: str | None, where: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    usual = (*_CLASS_SUFFIXES, *LABEL_COLUMNS)
    name = wanted or next((one for one in usual if any(one in facts for facts in said)), None)
    if name is None:
        return np.full(len(said), -1, np.int32), ()
    values = [facts.get(name) for facts in said]
    if all(value is None for value in values):
        raise InputError(f"{where}: no sample has {wanted!r}, which label= names.")
    if any(isinstance(value, list) for value in values) and wanted is None:
        return np.full(len(said), -1, np.int32), ()
    if all(isinstance(value, str | None) for value in values):
        values = encode_text([value or "" for value in values])
    return encode_classes(values, where=where)


def _ids(
    keys: Sequence[tuple[int, str]],
    files: Sequence[Path],
    said: Sequence[dict[str, Any]],
    wanted: str | None,
    where: str,
) -> tuple[str, ...]:
    if wanted is not None:
        ids = [str(facts.get(wanted, "")) for facts in said]
        if not all(ids) or len(set(ids)) < len(ids):
            raise InputError(f"{where}: ids must differ and be there; those of {wanted!r} do not.")
        return tuple(map(visible, ids))
    counts = Counter(key for _, key in keys)
    stems = [_stem(file) for file in files]
    if len(set(stems)) < len(stems):
        stems = [f"{file.parent.name}/{stem}" for file, stem in zip(files, stems, strict=True)]
    return tuple(
        visible(key if counts[key] == 1 else f"{stems[shard]}/{key}") for shard, key in keys
    )


def _stem(file: Path) -> str:
    suffix = next(
        (one for one in sorted(TAR_SUFFIXES, key=len)[::-1] if file.name.lower().endswith(one)), ""
    )
    return file.name[: len(file.name) - len(suffix)]


def _columns(said: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Entries that are values or lists of them, by name."""
    names = dict.fromkeys(name for facts in said for name in facts)
    columns = {}
    for name in list(names)[:_MAX_COLUMNS]:
        values = [facts.get(name) for facts in said]
        if not any(isinstance(value, dict) for value in values):
            columns[name] = column_of(values)
    return columns


# Entries of JSON objects that are kept, by name.
_MAX_COLUMNS = 1000
