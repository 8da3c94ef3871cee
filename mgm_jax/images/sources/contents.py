"""Encoded pictures with names and labels: digests, checks and notes, whatever holds them.

The identity of an image is the sha256 of all bytes of its file. It is taken when the set is opened
and compared whenever the image is read, so that no result can come from another content than the
one it is kept under. Sizes and times are never trusted: both can be the same for another content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.images.decode.grey_depth import ValueRange, check_value_range
from mgm_jax.images.decode.picture import decode_image, deep_span
from mgm_jax.images.image_source import ImageChanged, ImageSource, PassedOver
from mgm_jax.images.sources.files.names import look_alikes
from mgm_jax.images.sources.options import SourceOptions
from mgm_jax.progress import progress

# Reading waits for the disk, and hashing releases the interpreter.
_THREADS = 8

# Pictures that one thread takes at a time.
_PART = 64

# What a fingerprint begins with where there is no content to hash.
_UNREADABLE = "unreadable: "


@dataclass(frozen=True, eq=False, kw_only=True)
class Contents:
    """Pictures that were found, not read yet, with all that is known of them.

    Attributes:
        where: what an error calls the place.
        ids: one stable, unique text a picture, in the order of the source.
        labels: class of each, -1 where it has none.
        classes: their names.
        read: all bytes of the picture at a position; raises OSError or InputError.
        columns: further values of each picture, by name, ``[n]`` or ``[n, c]``.
        passed_over: what lies beside them and is not read.
        notes: what was understood that could have been meant otherwise, in words.
    """

    where: str
    ids: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    read: Callable[[int], bytes] = field(repr=False)
    columns: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    passed_over: tuple[PassedOver, ...] = ()
    notes: tuple[str, ...] = ()

    def take(self, positions: Sequence[int]) -> Contents:
        """Some of the pictures, in the order given."""
        rows = np.asarray(positions, np.int64)
        return replace(
            self,
            ids=tuple(self.ids[i] for i in rows),
            labels=self.labels[rows],
            read=lambda position: self.read(int(rows[position])),
            columns={name: values[rows] for name, values in self.columns.items()},
        )


class _Facts(NamedTuple):
    fingerprint: str
    deep: tuple[str, float, float] | None = None


def source_of_contents(contents: Contents, options: SourceOptions) -> ImageSource:
    """Source of pictures; reads every one of them once, to know its content.

    What cannot be read now is an image that cannot be read later: it counts, and is named.

    Args:
        contents: the pictures.
        options: with a name; split, fields and depth have been heeded.

    Raises:
        InputError: no pictures, or ids that repeat.
    """
    name, limits = options.name or contents.where, options.limits
    value_range = check_value_range(options.value_range)
    ids, where = contents.ids, contents.where
    facts = list(_all_facts(contents.read, len(ids), title=name))
    rule = "" if value_range is None else f"@{value_range[0]!r}..{value_range[1]!r}"

    def read(position: int) -> np.ndarray:
        title = f"{where}/{ids[position]}"
        content = _read_again(contents.read, position, facts[position].fingerprint, title)
        return decode_image(content, name=title, value_range=value_range, limits=limits)

    return ImageSource(
        name=name,
        ids=ids,
        labels=contents.labels,
        classes=contents.classes,
        fingerprints=tuple(one.fingerprint + rule for one in facts),
        reader=read,
        columns=contents.columns,
        passed_over=contents.passed_over,
        notes=(
            *contents.notes,
            *_alike_notes(contents.classes),
            *_deep_notes(facts, value_range),
        ),
    )


def _all_facts(read: Callable[[int], bytes], count: int, *, title: str) -> Iterator[_Facts]:
    def of_part(start: int) -> list[_Facts]:
        return [_facts(read, index) for index in range(start, min(start + _PART, count))]

    starts = range(0, count, _PART)
    with (
        progress(f"check {title}", total=count, unit="image") as bar,
        ThreadPoolExecutor(_THREADS) as pool,
    ):
        for part in pool.map(of_part, starts):
            yield from part
            bar.advance(len(part))


def _facts(read: Callable[[int], bytes], index: int) -> _Facts:
    try:
        content = read(index)
    except OSError as error:
        return _Facts(f"{_UNREADABLE}{error.strerror or error}")
    except InputError as error:
        return _Facts(f"{_UNREADABLE}{error}")
    return _Facts(hashlib.sha256(content).hexdigest(), deep_span(content))


def _read_again(read: Callable[[int], bytes], index: int, fingerprint: str, title: str) -> bytes:
    """The content that was there when the set was opened."""
    was_unreadable = fingerprint.startswith(_UNREADABLE)
    try:
        content = read(index)
    except (OSError, InputError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if was_unreadable:
            raise InputError(f"{title} cannot be read: {said}") from error
        raise ImageChanged(
            f"{title} can no longer be read: {said}. Nothing was kept of it; bring it back, and "
            "the same command goes on."
        ) from error
    if was_unreadable or hashlib.sha256(content).hexdigest() != fingerprint:
        raise ImageChanged(
            f"{title} is not the image that it was when the set was opened: it was replaced in the "
            "meantime. Nothing was kept of the new one; the same command goes on when the old one "
            "is back, and begins anew with the new one."
        )
    return content


def _alike_notes(classes: Sequence[str]) -> list[str]:
    """Classes that a person may take for one, such as ``Cat``, ``cat`` and ``cat`` with a blank."""
    return [
        f"classes that look alike are kept apart: {name_some(map(ascii, names))}"
        for names in look_alikes(classes)
    ]


def _deep_notes(facts: Sequence[_Facts], value_range: ValueRange | None) -> list[str]:
    """The range of values of the images deeper than eight bits."""
    deep = [one.deep for one in facts if one.deep is not None]
    notes = []
    for kind in sorted({one[0] for one in deep}):
        spans = [one for one in deep if one[0] == kind]
        low, high = min(one[1] for one in spans), max(one[2] for one in spans)
        if value_range is not None:
            rule = f"value_range makes {value_range[0]:g} black and {value_range[1]:g} white"
        elif kind == "uint16":
            rule = "0 is black and 65535 white; value_range: [black, white] says otherwise"
        elif kind.startswith("float"):
            rule = "0 is black and 1 white; value_range: [black, white] says otherwise"
        else:
            rule = "nothing says which value is white; give value_range: [black, white]"
        notes.append(f"{len(spans)} images hold {kind} values from {low:g} to {high:g}; {rule}")
    return notes
