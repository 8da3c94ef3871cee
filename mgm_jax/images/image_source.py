"""An image source: named, labelled images that are read one by one."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property

import numpy as np

from mgm_jax.errors import InputError, name_some


class ImageChanged(InputError):
    """An image is not what it was when its set was opened.

    It ends whatever reads it, also where images that cannot be read are skipped: what is kept
    under the old content must never be made from another, nor have a hole for it.
    """


@dataclass(frozen=True, kw_only=True)
class PassedOver:
    """Files of an image set that are not read, for one reason.

    Attributes:
        reason: why, in words.
        count: how many.
        examples: paths of the first ones, escaped where they cannot be shown.
        harmless: whether nobody would take them for images.

    >>> str(PassedOver(reason="a pipe", count=2, examples=("a.png", "b.png")))
    '2 a pipe (a.png, b.png)'
    """

    reason: str
    count: int
    examples: tuple[str, ...]
    harmless: bool = False

    def __str__(self) -> str:
        return f"{self.count} {self.reason} ({name_some(self.examples, most=3)})"


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageSource:
    """A finite, ordered set of images, decoded only when read.

    Attributes:
        name: what the source is called in tables.
        ids: one stable, unique text an image; the random draws of its views depend on it.
        labels: int32 ``[n]``, read-only; position of the image's class in ``classes``, or -1.
        classes: names of the classes; empty where nothing is labelled.
        fingerprints: one text an image that changes when any bit of its content does.
        reader: from a position to uint8 ``[h, w, 3]``; raises InputError for a broken image, and
            ImageChanged where the content is no longer that of the fingerprint.
        columns: further values of each image by name, ``[n]`` or ``[n, c]``, such as attributes or
            measurements; no part of its identity.
        passed_over: files that lie among the images and are not read, by reason.
        notes: what was understood that could have been meant otherwise, in words.

    Raises:
        InputError: no images, ids that repeat, labels that do not fit.

    Example:
        >>> from mgm_jax.images.sources.open_source import open_source
        >>> digits = open_source("digits")
        >>> len(digits), digits.read(0).shape
        (1797, (8, 8, 3))
    """

    name: str
    ids: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    fingerprints: tuple[str, ...] = field(repr=False)
    reader: Callable[[int], np.ndarray] = field(repr=False)
    columns: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    passed_over: tuple[PassedOver, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        n = len(self.ids)
        if n == 0:
            raise InputError(f"{self.name}: the source holds no images.")
        if len(set(self.ids)) != n:
            seen: set[str] = set()
            twice = [i for i in self.ids if i in seen or seen.add(i)]
            raise InputError(f"{self.name}: ids must differ; more than once: {name_some(twice)}.")
        labels = np.array(self.labels, np.int32)
        if labels.shape != (n,) or len(self.fingerprints) != n:
            raise InputError(
                f"{self.name}: expected one label and one fingerprint for each of {n} images; "
                f"got {labels.size} and {len(self.fingerprints)}."
            )
        if labels.min() < -1 or labels.max() >= max(len(self.classes), 1):
            raise InputError(
                f"{self.name}: labels must be -1 or a position among {len(self.classes)} classes; "
                f"got {labels.min()} to {labels.max()}."
            )
        for column, values in self.columns.items():
            if len(values) != n:
                raise InputError(
                    f"{self.name}: column {column!r} must have one value for each of {n} images; "
                    f"got {len(values)}."
                )
        labels.setflags(write=False)
        object.__setattr__(self, "labels", labels)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"ImageSource({self.name!r}, {len(self)} images, {len(self.classes)} classes)"

    def read(self, position: int) -> np.ndarray:
        """Decode one image.

        Returns:
            uint8 ``[h, w, 3]``.

        Raises:
            InputError: the image cannot be decoded; the message names it.
            ImageChanged: its content is not what it was when the source was opened.
        """
        return self.reader(position)

    def lines(self) -> list[str]:
        """What was passed over and what was understood, a line each, to be shown to people."""
        lines = [f"{self.name}: passed over {one}" for one in self.passed_over]
        return lines + [f"{self.name}: {note}" for note in self.notes]

    @cached_property
    def digest(self) -> str:
        """Hexadecimal sha256 over ids, class names and fingerprints, in order.

        The digest of a selection depends on the selected images alone: images added elsewhere in
        the source do not change it.
        """
        total = hashlib.sha256()
        for image_id, label, fingerprint in zip(
            self.ids, self.labels, self.fingerprints, strict=True
        ):
            known = self.classes[label] if label >= 0 and self.classes else ""
            total.update(repr((image_id, known, fingerprint)).encode())
        return total.hexdigest()

    def subset(self, positions: Iterable[int]) -> ImageSource:
        """Source of some of the images, in the order given; classes keep their numbers.

        Raises:
            InputError: a position outside of the source, or one that repeats.
        """
        chosen = np.fromiter(positions, np.int64)
        outside = chosen[(chosen < 0) | (chosen >= len(self))]
        if outside.size:
            raise InputError(
                f"{self.name} has images 0 to {len(self) - 1}; asked for {name_some(outside)}."
            )
        if np.array_equal(chosen, np.arange(len(self))):
            # A large set need not be copied, nor its digest be taken again.
            return self
        read = self.reader
        return dataclasses.replace(
            self,
            ids=tuple(self.ids[i] for i in chosen),
            labels=self.labels[chosen],
            fingerprints=tuple(self.fingerprints[i] for i in chosen),
            columns={name: values[chosen] for name, values in self.columns.items()},
            reader=lambda position: read(int(chosen[position])),
        )

    def only(self, patterns: Iterable[str]) -> ImageSource:
        """Source of the images of some classes, in their old order.

        Args:
            patterns: names of classes, with ``*``, ``?`` and ``[abc]`` as in a shell.

        Raises:
            InputError: a pattern that no class fits.

        >>> from mgm_jax.images.sources.open_source import open_source
        >>> len(open_source("digits").only(["0", "[78]"]))
        531
        """
        chosen: set[int] = set()
        for pattern in patterns:
            fits = [i for i, name in enumerate(self.classes) if fnmatchcase(name, pattern)]
            if not fits:
                raise InputError(
                    f"{self.name} has no class {pattern!r}; it has {name_some(self.classes)}."
                )
            chosen.update(fits)
        return self.subset(np.flatnonzero(np.isin(self.labels, sorted(chosen))))

    def take(
        self, *, per_class: int | None = None, count: int | None = None, seed: int = 0
    ) -> ImageSource:
        """Source of a random choice of the images, in their old order.

        Every image has a rank, the sha256 of the seed and its id; the smallest ranks are taken.
        So a larger choice contains the smaller one, and images that come or go elsewhere change
        nothing.

        Args:
            per_class: at most this many images of each class.
            count: at most this many images in all, chosen after ``per_class``, the classes as
                even as their sizes allow.
            seed: another seed, another choice.

        Raises:
            InputError: a number below 1.
        """
        for name, value in (("per_class", per_class), ("count", count)):
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1; got {value}.")
        ranks = [hashlib.sha256(f"{seed}/{i}".encode()).digest() for i in self.ids]
        by_rank = sorted(range(len(self)), key=ranks.__getitem__)
        taken: dict[int, int] = {}
        turns: list[tuple[int, int]] = []
        for position in by_rank:
            label = int(self.labels[position])
            turn = taken.get(label, 0)
            taken[label] = turn + 1
            if per_class is None or turn < per_class:
                turns.append((turn, position))
        # The first image of every class comes before the second of any.
        turns.sort(key=lambda entry: entry[0])
        return self.subset(sorted(position for _, position in turns[:count]))
