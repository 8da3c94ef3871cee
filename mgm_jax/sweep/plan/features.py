"""Features that a study names instead of encoders: opened, aligned, and laid out in cells."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mgm_jax.embeddings import ViewPlan
from mgm_jax.errors import InputError, name_some
from mgm_jax.features import FeatureFile, StoredFeatures, feature_images, open_layers, rows_of
from mgm_jax.features.stored import SETTING
from mgm_jax.images import ImageSource, Setting
from mgm_jax.images.sources.files.names import writable
from mgm_jax.study import FeaturesEntry, Study
from mgm_jax.sweep.plan.cells import CHUNK_ROWS, Cell, ImageSet, cell_of, plain_plan
from mgm_jax.sweep.plan.matching import matching_files, told_apart
from mgm_jax.sweep.subjects import Convert, Subject

# Files of tensors in a pickle, which the converters read with PyTorch's restricted reader.
_PICKLED = (".pt", ".pth", ".bin")


@dataclass(frozen=True, kw_only=True)
class FeatureSet:
    """Models of which features of the same images are at hand.

    Attributes:
        images: their images.
        subjects: the models.
    """

    images: ImageSet
    subjects: tuple[Subject, ...]


def open_feature_sets(
    study: Study, *, base: Path, cache: Path, convert: Convert | None
) -> tuple[FeatureSet, ...]:
    """Open all features that a study names; those of one ``images`` are aligned by their ids.

    Raises:
        InputError: files that are not there or do not fit, other images, names that repeat.
    """
    sets: dict[str, FeatureSet] = {}
    for entry in study.features:
        for one in _expanded(entry, base=base):
            layers = _layers(one, base=base, cache=cache, convert=convert)
            first = next(iter(layers.values()))
            own = feature_images(
                first,
                name=entry.images,
                labels=None if entry.labels is None else base / entry.labels,
                ids=None if entry.ids is None else base / entry.ids,
            )
            known = sets.get(entry.images)
            images = known.images if known else ImageSet(name=entry.images, source=own)
            stated = own.ids if entry.ids is not None or first.ids is not None else None
            rows = rows_of(first, images.source, ids=stated)
            images = _labelled(own, images, rows, first)
            subject = _subject(one, layers, rows)
            others = known.subjects if known else ()
            if subject.name in names_of(tuple(sets.values())):
                raise InputError(
                    f"features: the name {subject.name} stands for more than one model; give each "
                    "entry a name of its own"
                )
            sets[entry.images] = FeatureSet(images=images, subjects=(*others, subject))
    return tuple(sets.values())


def feature_cells(study: Study, one: FeatureSet) -> Iterator[Cell]:
    """All cells of a set of features, those of one row an image first."""
    plain = plain_plan(one.images.source)
    for subject in one.subjects:
        for tap in subject.taps:
            yield cell_of(study, subject, tap, one.images, plain)
    for subject in one.subjects:
        model = subject.encoder
        views = model.views if isinstance(model, StoredFeatures) else None
        if views is None:
            continue
        plan = ViewPlan(
            indices=plain.indices,
            setting=Setting(name=SETTING),
            views=views,
            chunk_images=max(1, CHUNK_ROWS // views),
        )
        for tap in subject.taps:
            yield cell_of(study, subject, tap, one.images, plan)


def _expanded(entry: FeaturesEntry, *, base: Path) -> Iterator[FeaturesEntry]:
    """One entry a file of a glob; several sources of one entry are shards of one array."""
    if len(entry.source) != 1:
        yield entry
        return
    (source,) = entry.source
    path = base / Path(source).expanduser()
    if path.exists() or not glob.has_magic(source):
        yield entry
        return
    files = matching_files(source, base=base)
    if not files:
        raise InputError(f"features: no file matches {source!r} below {base}")
    labels = told_apart(files, stem=lambda file: writable(file.stem))
    for file in files:
        name = entry.name
        if len(files) > 1:
            # One name for many files would clash; it becomes the prefix of their stems.
            name = "-".join(filter(None, (entry.name, labels[file])))
        yield entry.model_copy(update={"source": (str(file),), "name": name})


def _layers(
    entry: FeaturesEntry, *, base: Path, cache: Path, convert: Convert | None
) -> dict[str, FeatureFile]:
    paths = []
    for source in entry.source:
        path = base / Path(source).expanduser()
        if path.suffix.lower() in _PICKLED and path.is_file():
            if convert is None:
                raise InputError(f"features: {path} is a pickle; run it through the mgm command")
            path = convert(path, entry, cache)
        paths.append(path)
    keys = entry.layers or {"features": entry.key}
    layers = open_layers(paths, keys)
    shapes = {tap: file.shape[:-1] for tap, file in layers.items()}
    if len(set(shapes.values())) > 1:
        raise InputError(
            f"features: layers of {paths[0]} must have the same images and views; got "
            + ", ".join(f"{tap}: {list(shape)}" for tap, shape in shapes.items())
        )
    return layers


def _labelled(own: ImageSource, images: ImageSet, rows: np.ndarray, file: FeatureFile) -> ImageSet:
    """The images with the labels that any of their models states; two must state the same.

    Args:
        own: the images as one model states them.
        images: as the models before it do.
        rows: of each of the images in the file of that model.
        file: of that model.
    """
    ours = images.source
    if own is ours or not own.classes:
        return images
    labels = own.labels[rows]
    if not ours.classes:
        return replace(images, source=replace(ours, labels=labels, classes=own.classes))
    names = [(*own.classes, "")[label] for label in labels]
    known = [(*ours.classes, "")[label] for label in ours.labels]
    differ = [i for i, a, b in zip(ours.ids, names, known, strict=True) if a != b]
    if differ:
        raise InputError(
            f"features: labels of {file.path} must be those of the other models of {images.name}; "
            f"{len(differ)} of {len(ours)} images differ: {name_some(differ)}"
        )
    return images


def _subject(entry: FeaturesEntry, layers: dict[str, FeatureFile], rows: np.ndarray) -> Subject:
    meta = {"architecture": entry.architecture or "features"}
    model = StoredFeatures(
        # As the user calls the file: what is unpacked of a pickle has a name of the cache.
        name=entry.name or writable(Path(entry.source[0]).stem),
        layers=layers,
        rows=rows,
        family=entry.family or "features",
        meta=meta,
    )
    return Subject(
        name=model.name,
        encoder=model,
        family=model.family,
        paradigm=entry.paradigm or "unknown",
        seed=None,
        taps=model.taps,
    )


def names_of(sets: Sequence[FeatureSet]) -> list[str]:
    """Names of all models."""
    return [subject.name for one in sets for subject in one.subjects]
