"""The image sets that encoders are transferred to: opened, joined with their test sets, split."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.images import Fields, ImageSource, Limits, open_source
from mgm_jax.images.sources.tables.shards import is_pattern
from mgm_jax.study import ImagesEntry, TargetEntry, Transfer
from mgm_jax.sweep.plan.cells import ImageSet
from mgm_jax.sweep.plan.target_values import MEASURES_OF, TargetValues, values_of_target

#: What the source of a target begins with that is a set of features of the study.
FEATURES = "features:"

#: What a source begins with that a program hands over.
HELD = "held:"

#: Nothing is handed over.
NOTHING_HELD: Mapping[str, ImageSource] = MappingProxyType({})

#: What the ids of a set that brings its own test images begin with.
_TRAIN, _TEST = "train:", "test:"

# What stands before the path in some sources.
_PREFIXES = ("rows:", "wds:")

#: Each class needs an image to train on, one to choose the penalty, and one to test.
MIN_IMAGES = 3


@dataclass(frozen=True, kw_only=True)
class Target:
    """A labelled image set that encoders are transferred to.

    Attributes:
        images: the set.
        has_test: whether it brings its own test images, told by their ids.
        values: several labels or real values of every image; None for one class an image.
    """

    images: ImageSet
    has_test: bool
    values: TargetValues | None = None


class Split(NamedTuple):
    """Rows of the parts, each ascending.

    Attributes:
        train: rows that a probe learns from.
        validation: rows that choose its penalty.
        test: rows that it is judged on.
        left_out: names of the classes that have too few images.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    left_out: tuple[str, ...]


def open_images(
    entry: ImagesEntry, *, base: Path, held: Mapping[str, ImageSource] = NOTHING_HELD
) -> ImageSet:
    """Open the image set that an entry of a study names, and draw from it.

    Args:
        entry: of the study.
        base: folder that relative paths start from.
        held: sets that a program hands over, which the study names as ``held:NAME``.
    """
    source = _open(entry.source, entry, split=entry.split, base=base, held=held)
    if entry.classes is not None:
        source = source.only(entry.classes)
    if entry.per_class or entry.count:
        source = source.take(per_class=entry.per_class, count=entry.count, seed=entry.seed)
    return ImageSet(name=entry.name or source.name, source=source)


def _of_features(entry: TargetEntry, others: Sequence[ImageSet]) -> ImageSet | None:
    """The set of features that ``features:NAME`` names, whole; None for any other source."""
    if not entry.source.startswith(FEATURES):
        return None
    name = entry.source.removeprefix(FEATURES)
    measured = next((one for one in others if one.name == name), None)
    drawn: dict[str, object] = {
        "classes": entry.classes,
        "per_class": entry.per_class,
        "count": entry.count,
    }
    drawn |= {"test": entry.test, "split": entry.split, "test_split": entry.test_split}
    given = [key for key, value in drawn.items() if value is not None]
    if measured is None or given:
        raise InputError(
            f"transfer: {entry.source} must name a set of features of the study and stand alone; "
            f"the study has {', '.join(one.name for one in others)}"
            + (f"; leave out {' and '.join(given)}" if given else "")
        )
    return measured


def open_targets(
    transfer: Transfer,
    others: Sequence[ImageSet],
    *,
    base: Path,
    held: Mapping[str, ImageSource] = NOTHING_HELD,
) -> tuple[Target, ...]:
    """Open all targets; one that is an image set of the study shares its embeddings.

    Raises:
        InputError: a set without two classes, or two targets of one name.
    """
    targets = []
    for entry in transfer.targets:
        images = _of_features(entry, others) or open_images(entry, base=base, held=held)
        has_test = entry.test is not None or entry.test_split is not None
        if has_test:
            source = entry.test or entry.source
            test = _open(source, entry, split=entry.test_split, base=base, held=held)
            if entry.classes is not None:
                test = test.only(entry.classes)
            images = dataclasses.replace(images, source=_joined(images.source, test))
        values = values_of_target(images.source, entry)
        if values is not None and not {*transfer.probes} & {*MEASURES_OF[values.kind]}:
            raise InputError(
                f"transfer: {images.name} has {values.kind}, which the probes "
                f"{', '.join(MEASURES_OF[values.kind])} take; name one of them under probes:"
            )
        labels = np.asarray(images.source.labels)
        if values is None and len(np.unique(labels[labels >= 0])) < 2:
            raise InputError(
                f"transfer: {images.name} must have images of two classes or more; "
                f"it has {len(np.unique(labels[labels >= 0]))}. Use a labelled set."
            )
        same = [one for one in others if one.source.digest == images.source.digest]
        if not same and any(one.name == images.name for one in others):
            raise InputError(
                f"transfer: target {images.name} has the name of an image set that holds other "
                "images; give it a name of its own"
            )
        if same:
            images = dataclasses.replace(same[0], name=images.name, stored_as=same[0].name)
        targets.append(Target(images=images, has_test=has_test, values=values))
    names = [one.images.name for one in targets]
    if len(set(names)) < len(names):
        raise InputError(
            f"transfer: names of targets must differ, got {', '.join(names)}; give each a name"
        )
    return tuple(targets)


def split_target(
    ids: Sequence[str],
    labels: np.ndarray,
    *,
    classes: Sequence[str],
    has_test: bool,
    transfer: Transfer,
    seed: int,
    least_classes: int = 2,
) -> Split:
    """Split the labelled images of a target, each class in the same shares.

    Every image has a rank, the sha256 of the seed and its id; within its class the smallest ranks
    are tested on, the next ones choose the penalty. So a split does not depend on the encoder,
    and images that come or go in one class move nothing in another. Shares are rounded to whole
    images, so that every part keeps at least one.

    Args:
        ids: of the images ``[n]``.
        labels: class of each, -1 for none, ``[n]``.
        classes: names of the classes.
        has_test: whether the ids tell which images are for testing.
        transfer: the shares.
        seed: of the study.
        least_classes: how many classes must have enough images.

    Raises:
        InputError: fewer classes have enough images.
    """
    ranks = [hashlib.sha256(f"split/{seed}/{one}".encode()).digest() for one in ids]
    parts: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    left_out = []
    used = 0
    for label in np.unique(labels[labels >= 0]):
        rows = sorted(np.flatnonzero(labels == label).tolist(), key=ranks.__getitem__)
        if has_test:
            test = [row for row in rows if ids[row].startswith(_TEST)]
            rows = [row for row in rows if not ids[row].startswith(_TEST)]
        else:
            most = max(len(rows) - MIN_IMAGES + 1, 0)
            tested = min(max(1, round(transfer.test_share * len(rows))), most)
            test, rows = rows[:tested], rows[tested:]
        if len(rows) < MIN_IMAGES - 1 or not test:
            left_out.append(classes[label])
            continue
        held = min(max(1, round(transfer.validation_share * len(rows))), len(rows) - 1)
        parts["test"] += test
        parts["validation"] += rows[:held]
        parts["train"] += rows[held:]
        used += 1
    if used < least_classes:
        raise InputError(
            f"fewer than two classes have {MIN_IMAGES} images, one each to train, to validate "
            "and to test. Take more images of each class"
            if least_classes > 1
            else f"fewer than {MIN_IMAGES} images have values. Take more images"
        )
    train, validation, test = (np.sort(np.asarray(parts[name], np.int64)) for name in parts)
    return Split(train, validation, test, tuple(left_out))


def _open(
    source: str,
    entry: ImagesEntry,
    *,
    split: str | None,
    base: Path,
    held: Mapping[str, ImageSource],
) -> ImageSource:
    if source.startswith(HELD):
        name = source.removeprefix(HELD)
        if name not in held or split is not None:
            raise InputError(
                f"images: {source} must be a set that a program hands over, without a split; "
                "a study file names a path"
            )
        return held[name]
    limits = {} if entry.limits is None else entry.limits.model_dump(exclude_none=True)
    return open_source(
        resolve_source(source, base=base),
        split=split,
        fields=Fields(image=entry.image, label=entry.label, id=entry.id),
        depth=entry.depth,
        value_range=entry.value_range,
        limits=Limits(**limits),
        # The run's summary and its report say it.
        warn=False,
    )


def resolve_source(source: str, *, base: Path) -> str | Path:
    """A source as it is opened: paths and patterns seen from a folder, names as they are."""
    prefix = next((one for one in _PREFIXES if source.startswith(one)), "")
    path = base / Path(source.removeprefix(prefix)).expanduser()
    if prefix:
        return f"{prefix}{path}"
    return path if path.exists() or is_pattern(source) else source


def _joined(train: ImageSource, test: ImageSource) -> ImageSource:
    """Both as one source; ids tell them apart, classes meet by name."""
    classes = tuple(sorted({*train.classes, *test.classes}))
    index = {name: position for position, name in enumerate(classes)}

    def labels(source: ImageSource) -> list[int]:
        return [index[source.classes[one]] if one >= 0 else -1 for one in source.labels]

    def read(position: int) -> np.ndarray:
        own = position - len(train)
        return train.read(position) if own < 0 else test.read(own)

    return ImageSource(
        name=train.name,
        ids=(*(_TRAIN + one for one in train.ids), *(_TEST + one for one in test.ids)),
        labels=np.asarray([*labels(train), *labels(test)], np.int32),
        classes=classes,
        fingerprints=(*train.fingerprints, *test.fingerprints),
        reader=read,
        columns={
            name: np.concatenate([values, test.columns[name]])
            for name, values in train.columns.items()
            if name in test.columns and test.columns[name].ndim == values.ndim
        },
        passed_over=(*train.passed_over, *test.passed_over),
        notes=(*train.notes, *(f"test images: {note}" for note in test.notes)),
    )
