"""What a study comes to: opened image sets, loaded encoders, and every cell with its files."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mgm_jax.embeddings import ViewPlan, manifest_for
from mgm_jax.errors import InputError
from mgm_jax.images import Setting, find_setting, open_source, setting_from_config
from mgm_jax.study import Study
from mgm_jax.sweep.cells import (
    SEMANTIC,
    Cell,
    Failure,
    ImageSet,
    settings_of,
    spread_over_classes,
)
from mgm_jax.sweep.subjects import Convert, Subject, load_subjects

#: Embeddings in one chunk: what an interruption loses at most.
CHUNK_ROWS = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class Workload:
    """Everything one study has to do, and where its results go.

    Attributes:
        study: the study.
        out: folder of the results.
        base: folder that relative paths of the study start from.
        convert: turns a checkpoint into a folder of Flax weights.
        sources: the image sets.
        cells: all cells; on each image set those without augmentation first.
        unloaded: encoders that could not be loaded.
        retry_images: embed images again that an earlier run could not read.
    """

    study: Study
    out: Path
    base: Path
    convert: Convert | None
    sources: tuple[ImageSet, ...]
    cells: tuple[Cell, ...]
    unloaded: tuple[Failure, ...] = ()
    retry_images: bool = False

    def reference_of(self, cell: Cell) -> Cell:
        """The cell of the same encoder, images and layer without augmentation."""
        return self._plain[cell.subject.name, cell.images.name, cell.tap]

    def is_measured(self, cell: Cell) -> bool:
        """Whether the study wants the per-point records of a cell, not its embeddings alone."""
        return self.study.semantic or cell.setting != SEMANTIC

    def record_path(self, cell: Cell) -> Path:
        """File of the per-point records."""
        reference = self.reference_of(cell)
        digest = cell.measure_digest(self.study.metrics, seed=self.study.seed, reference=reference)
        return self.out / "records" / f"{digest}.parquet"

    def reference_path(self, cell: Cell) -> Path:
        """File of what the un-augmented embeddings say about the encoder as a whole."""
        return self.record_path(self.reference_of(cell)).with_suffix(".json")

    def embeddings_path(self, cell: Cell) -> Path:
        """Folder of the embeddings."""
        return cell.embeddings_folder(self.out)

    @cached_property
    def digest(self) -> str:
        """Digest of all cells in their order: equal where places of cells mean the same."""
        total = hashlib.sha256()
        for cell in self.cells:
            total.update(repr((cell.label, cell.manifest.digest)).encode())
        return total.hexdigest()

    @cached_property
    def _plain(self) -> dict[tuple[str, str, str], Cell]:
        return {
            (cell.subject.name, cell.images.name, cell.tap): cell
            for cell in self.cells
            if cell.setting == SEMANTIC
        }


def prepare(
    study: Study,
    out: Path,
    *,
    base: Path,
    convert: Convert | None,
    retry_images: bool = False,
) -> Workload:
    """Open what the study names and lay out its cells.

    A checkpoint that cannot be converted or loaded is a failure of its encoder alone, unless
    there is no other.

    Args:
        study: the study.
        out: folder of the results.
        base: folder that relative paths of the study start from.
        convert: turns a checkpoint into a folder of Flax weights.
        retry_images: embed images again that an earlier run could not read.

    Raises:
        InputError: something the study names does not exist, or no encoder can be loaded.
    """
    sources = _open_images(study, base=base)
    unloaded: list[Failure] = []

    def note(name: str, error: Exception) -> None:
        unloaded.append(
            Failure(images="", where=name, what=f"cannot be loaded: {error}", is_image=False)
        )

    subjects = load_subjects(
        study.encoders, base=base, cache=out / "encoders", convert=convert, on_failure=note
    )
    if not subjects:
        raise InputError(f"encoders: {unloaded[0].where}: {unloaded[0].what}")
    return Workload(
        study=study,
        out=out,
        base=base,
        convert=convert,
        sources=sources,
        cells=tuple(cell for images in sources for cell in _cells(study, subjects, images)),
        unloaded=tuple(unloaded),
        retry_images=retry_images,
    )


def _open_images(study: Study, *, base: Path) -> tuple[ImageSet, ...]:
    sets = []
    for entry in study.images:
        path = base / Path(entry.source).expanduser()
        source = open_source(path if path.exists() else entry.source)
        if entry.per_class or entry.count:
            source = source.take(per_class=entry.per_class, count=entry.count, seed=entry.seed)
        sets.append(ImageSet(name=entry.name or source.name, source=source))
    names = [one.name for one in sets]
    if len(set(names)) < len(names):
        raise InputError(f"images: names must differ, got {', '.join(names)}; give each a name")
    return tuple(sets)


def _cells(study: Study, subjects: Sequence[Subject], images: ImageSet) -> Iterator[Cell]:
    """All cells on one image set, those without augmentation first: the others refer to them."""
    source = images.source
    everything = ViewPlan(
        indices=tuple(range(len(source))),
        setting=find_setting(SEMANTIC),
        chunk_images=CHUNK_ROWS,
    )
    plans = [everything]
    chosen: tuple[int, ...] = ()
    if study.augmentation is not None:
        count = min(study.augmentation.images, len(source))
        chosen = tuple(int(i) for i in spread_over_classes(source, count, seed=study.seed))
    for name, strength in settings_of(study.augmentation):
        views = study.augmentation.views if study.augmentation else 1
        plans.append(
            ViewPlan(
                indices=chosen,
                setting=_setting(study, name),
                strength=strength,
                seed=study.seed,
                views=views,
                chunk_images=max(1, CHUNK_ROWS // views),
            )
        )
    for plan, subject in itertools.product(plans, subjects):
        for tap in subject.taps:
            yield Cell(
                subject=subject,
                tap=tap,
                images=images,
                plan=plan,
                manifest=manifest_for(subject.encoder, source, plan, tap=tap, dtype=study.dtype),
            )


def _setting(study: Study, name: str) -> Setting:
    if name in study.custom_settings:
        return setting_from_config(name, study.custom_settings[name])
    return find_setting(name)
