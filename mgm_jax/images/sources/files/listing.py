"""From a list of files to a source: the same ids, classes, digests and checks wherever they lie.

The identity of an image is the sha256 of all bytes of its file. It is taken when the set is opened
and compared whenever the image is read, so that no result can come from another content than the
one it is kept under. Sizes and times are never trusted: both can be the same for another content.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.images.decode import decode_image, deep_span
from mgm_jax.images.formats import DOCUMENT, HARMLESS, STRANGE
from mgm_jax.images.grey_depth import ValueRange, check_value_range
from mgm_jax.images.image_source import ImageChanged, ImageSource, PassedOver
from mgm_jax.images.limits import LIMITS, Limits
from mgm_jax.images.sources.files.layout import find_layout
from mgm_jax.images.sources.files.names import distinct_ids, visible
from mgm_jax.progress import progress

# Reading waits for the disk, and hashing releases the interpreter.
_THREADS = 8

# Files that one thread takes at a time.
_PART = 64

# Paths that are kept of the files passed over for one reason.
_MAX_EXAMPLES = 20

# What a fingerprint begins with where there is no content to hash.
_UNREADABLE = "unreadable: "


class PassedOverFiles:
    """Gathers what is passed over while files are listed."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}
        self._harmless: set[str] = set()

    def add(self, path: str, reason: str) -> None:
        """Note one file."""
        harmless = reason in HARMLESS
        if reason in (DOCUMENT, STRANGE):
            suffix = PurePosixPath(visible(path)).suffix.lower()
            reason = f"{reason} ({suffix})" if suffix else reason
        if harmless:
            self._harmless.add(reason)
        self._counts[reason] += 1
        examples = self._examples.setdefault(reason, [])
        if len(examples) < _MAX_EXAMPLES:
            examples.append(visible(path))

    def result(self) -> tuple[PassedOver, ...]:
        """By reason, the most frequent first, what is harmless last."""
        order = sorted(self._counts.items(), key=lambda one: (one[0] in self._harmless, -one[1]))
        return tuple(
            PassedOver(
                reason=reason,
                count=count,
                examples=tuple(sorted(self._examples[reason])),
                harmless=reason in self._harmless,
            )
            for reason, count in order
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class FileListing:
    """Image files that were found, not read yet.

    Attributes:
        where: what an error calls the place.
        paths: of the files, relative, parts joined by ``/``, as they are.
        read: all bytes of the file at a position; raises OSError or InputError.
        passed_over: files beside them that are not read.
    """

    where: str
    paths: Sequence[str]
    read: Callable[[int], bytes] = field(repr=False)
    passed_over: PassedOverFiles


class _Facts(NamedTuple):
    fingerprint: str
    deep: tuple[str, float, float] | None = None


def source_of_files(
    listing: FileListing,
    *,
    name: str,
    depth: int = 1,
    split: str | None = None,
    value_range: ValueRange | None = None,
    limits: Limits = LIMITS,
) -> ImageSource:
    """Source of the files of a listing; reads every file once, to know its content.

    A file that cannot be read now is an image that cannot be read later: it counts, and is named.

    Args:
        listing: the files.
        name: what to call the source.
        depth: how many folders name a class.
        split: take one split alone.
        value_range: of values deeper than eight bits, the ones of black and white.
        limits: of sizes and numbers.

    Raises:
        InputError: no images, or folders that say no classes; see
            :func:`~mgm_jax.images.sources.files.layout.find_layout`.
    """
    where = listing.where if split is None else f"{listing.where}/{split}"
    value_range = check_value_range(value_range)
    limits.check("files", len(listing.paths), name=listing.where, what="image files")
    layout = find_layout(
        [visible(path) for path in listing.paths], where=listing.where, depth=depth, split=split
    )
    raws = [listing.paths[i] for i in layout.kept]
    ids = distinct_ids(raws, layout.paths)
    order = sorted(range(len(ids)), key=ids.__getitem__)
    places = [layout.kept[i] for i in order]
    ids = tuple(ids[i] for i in order)
    facts = list(_all_facts(listing.read, places, title=name))
    rule = "" if value_range is None else f"@{value_range[0]!r}..{value_range[1]!r}"

    def read(position: int) -> np.ndarray:
        title = f"{where}/{ids[position]}"
        content = _read_again(listing.read, places[position], facts[position].fingerprint, title)
        return decode_image(content, name=title, value_range=value_range, limits=limits)

    return ImageSource(
        name=name,
        ids=ids,
        labels=layout.labels[order],
        classes=layout.classes,
        fingerprints=tuple(one.fingerprint + rule for one in facts),
        reader=read,
        passed_over=listing.passed_over.result(),
        notes=(*layout.notes, *_deep_notes(facts, value_range)),
    )


def _all_facts(
    read: Callable[[int], bytes], places: Sequence[int], *, title: str
) -> Iterator[_Facts]:
    def of_part(start: int) -> list[_Facts]:
        return [_facts(read, place) for place in places[start : start + _PART]]

    starts = range(0, len(places), _PART)
    with (
        progress(f"check {title}", total=len(places), unit="image") as bar,
        ThreadPoolExecutor(_THREADS) as pool,
    ):
        for part in pool.map(of_part, starts):
            yield from part
            bar.advance(len(part))


def _facts(read: Callable[[int], bytes], place: int) -> _Facts:
    try:
        content = read(place)
    except OSError as error:
        return _Facts(f"{_UNREADABLE}{error.strerror or error}")
    except InputError as error:
        return _Facts(f"{_UNREADABLE}{error}")
    return _Facts(hashlib.sha256(content).hexdigest(), deep_span(content))


def _read_again(read: Callable[[int], bytes], place: int, fingerprint: str, title: str) -> bytes:
    """The content that was there when the set was opened."""
    was_unreadable = fingerprint.startswith(_UNREADABLE)
    try:
        content = read(place)
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
