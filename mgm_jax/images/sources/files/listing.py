"""From a list of files to a source: the same ids, classes and counts wherever the files lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mgm_jax.errors import InputError
from mgm_jax.images.decode.formats import DOCUMENT, HARMLESS, STRANGE
from mgm_jax.images.image_source import ImageSource, PassedOver
from mgm_jax.images.sources.contents import Contents, source_of_contents
from mgm_jax.images.sources.files.layout import find_layout
from mgm_jax.images.sources.files.names import distinct_ids, visible
from mgm_jax.images.sources.options import SourceOptions

# Paths that are kept of the files passed over for one reason.
_MAX_EXAMPLES = 20


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


def source_of_files(listing: FileListing, options: SourceOptions) -> ImageSource:
    """Source of the files of a listing; reads every file once, to know its content.

    A file that cannot be read now is an image that cannot be read later: it counts, and is named.

    Args:
        listing: the files.
        options: with a name.

    Raises:
        InputError: no images, or folders that say no classes; see
            :func:`~mgm_jax.images.sources.files.layout.find_layout`.
    """
    split = options.split
    where = listing.where if split is None else f"{listing.where}/{split}"
    options.limits.check("files", len(listing.paths), name=listing.where, what="image files")
    passed_over = listing.passed_over.result()
    if not listing.paths and passed_over:
        told = "; ".join(map(str, passed_over[:3]))
        raise InputError(
            f"{where} holds no image files. Passed over: {told}. Expected one folder a class, or "
            "images side by side."
        )
    layout = find_layout(
        [visible(path) for path in listing.paths],
        where=listing.where,
        depth=options.depth,
        split=split,
    )
    raws = [listing.paths[i] for i in layout.kept]
    ids = distinct_ids(raws, layout.paths)
    order = sorted(range(len(ids)), key=ids.__getitem__)
    positions = [layout.kept[i] for i in order]
    return source_of_contents(
        Contents(
            where=where,
            ids=tuple(ids[i] for i in order),
            labels=layout.labels[order],
            classes=layout.classes,
            read=lambda position: listing.read(positions[position]),
            passed_over=passed_over,
            notes=layout.notes,
        ),
        options,
    )
