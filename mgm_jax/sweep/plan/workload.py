"""What a study comes to: opened image sets, loaded encoders, and every cell with its files."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from mgm_jax.embeddings import ViewPlan
from mgm_jax.errors import InputError, name_some
from mgm_jax.features import StoredFeatures
from mgm_jax.images import (
    CACHE_LIMIT,
    CanvasCache,
    ImageSource,
    Setting,
    find_setting,
    setting_from_config,
)
from mgm_jax.study import EncoderEntry, FeaturesEntry, Study
from mgm_jax.sweep.measures.transfer import TransferCell
from mgm_jax.sweep.plan.cells import (
    CHUNK_ROWS,
    SEMANTIC,
    Cell,
    Failure,
    ImageSet,
    cell_of,
    plain_plan,
    settings_of,
    spread_over_classes,
)
from mgm_jax.sweep.plan.features import (
    FeatureSet,
    feature_cells,
    names_of,
    open_feature_sets,
)
from mgm_jax.sweep.plan.given_scores import find_scores
from mgm_jax.sweep.plan.openers import Openers
from mgm_jax.sweep.plan.target_values import MEASURES_OF
from mgm_jax.sweep.plan.targets import Target, open_images, open_targets
from mgm_jax.sweep.subjects import Convert, Subject, load_subjects

#: Folder of the decoded images.
CANVASES = "canvases"


@dataclass(frozen=True, kw_only=True, eq=False)
class Workload:
    """Everything one study has to do, and where its results go.

    Attributes:
        study: the study.
        out: folder of the results.
        openers: what the study's sources were opened with.
        sources: the image sets.
        targets: the image sets that encoders are transferred to.
        cells: all cells that are measured; on each image set those without augmentation first.
        transfers: every measure of every encoder on every target.
        scores: of transfer that the study brings ``[models, tasks]``; None for none.
        unloaded: encoders that could not be loaded.
        converted: folders of the converted checkpoints.
        retry_images: embed images again that an earlier run could not read.
        cache: where decoded images are kept; None for nowhere.
    """

    study: Study
    out: Path
    openers: Openers
    sources: tuple[ImageSet, ...]
    targets: tuple[Target, ...]
    cells: tuple[Cell, ...]
    transfers: tuple[TransferCell, ...]
    scores: pd.DataFrame | None = None
    unloaded: tuple[Failure, ...] = ()
    converted: tuple[Path, ...] = ()
    retry_images: bool = False
    cache: CanvasCache | None = None

    @cached_property
    def embedded(self) -> tuple[Cell, ...]:
        """All cells that are embedded: ``cells``, then those of targets that are not among them."""
        known = {self.embeddings_path(cell) for cell in self.cells}
        more = {self.embeddings_path(job.cell): job.cell for job in self.transfers}
        return (*self.cells, *(cell for path, cell in more.items() if path not in known))

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

    def transfer_path(self, job: TransferCell) -> Path:
        """File of what one measure on one target found."""
        if self.study.transfer is None:
            raise ValueError("a study without transfer has no such records")
        digest = job.digest(self.study.transfer, seed=self.study.seed)
        return self.out / "records" / f"{digest}.json"

    @cached_property
    def canvases(self) -> tuple[Path, ...]:
        """Files of the decoded images of all cells, those that were not made included."""
        if self.cache is None:
            return ()
        paths: dict[Path, None] = {}
        for cell in self.embedded:
            if isinstance(cell.subject.encoder, StoredFeatures):
                continue
            look = cell.subject.encoder.preprocess
            path = self.cache.path(
                cell.images.source, resize=look.resize, interpolation=look.interpolation
            )
            paths[path] = None
        return tuple(paths)

    def embeddings_path(self, cell: Cell) -> Path:
        """Folder of the embeddings."""
        return cell.embeddings_folder(self.out)

    @cached_property
    def digest(self) -> str:
        """Digest of all cells in their order: equal where places of cells mean the same."""
        total = hashlib.sha256()
        for cell in self.embedded:
            total.update(repr((cell.label, cell.manifest.digest)).encode())
        for job in self.transfers:
            total.update(job.label.encode())
        return total.hexdigest()

    @cached_property
    def _plain(self) -> dict[tuple[str, str, str], Cell]:
        return {
            (cell.subject.name, cell.images.name, cell.tap): cell
            for cell in self.embedded
            if cell.setting == SEMANTIC
        }


def prepare(
    study: Study,
    out: Path,
    openers: Openers,
    *,
    retry_images: bool = False,
    cache_limit: int = CACHE_LIMIT,
) -> Workload:
    """Open what the study names and lay out its cells.

    A checkpoint that cannot be converted or loaded is a failure of its encoder alone, unless
    there is no other.

    Args:
        study: the study.
        out: folder of the results.
        openers: what the study's sources are opened with.
        retry_images: embed images again that an earlier run could not read.
        cache_limit: bytes that decoded images may take below ``out``; 0 keeps none.

    Raises:
        InputError: something the study names does not exist, or no encoder can be loaded.
    """
    base, convert, held = openers.base, openers.convert, openers.image_sets
    sources = _open_images(study, base=base, held=held)
    unloaded: list[Failure] = []

    def note(name: str, error: Exception) -> None:
        unloaded.append(
            Failure(images="", where=name, what=f"cannot be loaded: {error}", is_image=False)
        )

    converted: list[Path] = []
    subjects = load_subjects(
        study.encoders,
        base=base,
        cache=out / "encoders",
        convert=None if convert is None else _noting(convert, converted),
        on_failure=note,
        callables=openers.callables,
        open_model=openers.open_model,
    )
    stored = open_feature_sets(study, base=base, cache=out / "encoders", convert=convert)
    if not subjects and not stored:
        raise InputError(f"encoders: {unloaded[0].where}: {unloaded[0].what}")
    _distinct(sources, stored, subjects)
    everything = (*sources, *(one.images for one in stored))
    targets: tuple[Target, ...] = ()
    if study.transfer is not None:
        targets = open_targets(study.transfer, everything, base=base, held=held)
    return Workload(
        study=study,
        out=out,
        openers=openers,
        sources=everything,
        targets=targets,
        cells=(
            *(cell for images in sources for cell in _cells(study, subjects, images)),
            *(cell for one in stored for cell in feature_cells(study, one)),
        ),
        transfers=tuple(_transfers(study, subjects, stored, targets)),
        scores=_scores(study, [*(s.name for s in subjects), *names_of(stored)], base=base),
        unloaded=tuple(unloaded),
        converted=tuple(converted),
        retry_images=retry_images,
        cache=CanvasCache(folder=out / CANVASES, limit=cache_limit) if cache_limit else None,
    )


def _noting(convert: Convert, folders: list[Path]) -> Convert:
    """The same conversion, which notes the folders that it hands back."""

    def noted(file: Path | str, entry: EncoderEntry | FeaturesEntry, cache: Path) -> Path:
        folders.append(convert(file, entry, cache))
        return folders[-1]

    return noted


def _open_images(
    study: Study, *, base: Path, held: Mapping[str, ImageSource]
) -> tuple[ImageSet, ...]:
    sets = [open_images(entry, base=base, held=held) for entry in study.images]
    names = [one.name for one in sets]
    if len(set(names)) < len(names):
        raise InputError(f"images: names must differ, got {', '.join(names)}; give each a name")
    return tuple(sets)


def _cells(study: Study, subjects: Sequence[Subject], images: ImageSet) -> Iterator[Cell]:
    """All cells on one image set, those without augmentation first: the others refer to them."""
    source = images.source
    plans = [plain_plan(source)]
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
            yield cell_of(study, subject, tap, images, plan)


def _scores(study: Study, models: Sequence[str], *, base: Path) -> pd.DataFrame | None:
    if study.transfer is None or study.transfer.score_table is None:
        return None
    return find_scores(study.transfer.score_table, base=base, models=models)


def _distinct(
    sources: Sequence[ImageSet], stored: Sequence[FeatureSet], subjects: Sequence[Subject]
) -> None:
    """Refuse names that encoders and features, or their image sets, share."""
    names = {subject.name for subject in subjects}
    twice = {subject.name for one in stored for subject in one.subjects} & names
    twice |= {one.images.name for one in stored} & {one.name for one in sources}
    if twice:
        raise InputError(
            f"features: the name(s) {name_some(sorted(twice))} are taken by an encoder or an image "
            "set of the study; give the features others (name:, images:)"
        )


def _transfers(
    study: Study,
    subjects: Sequence[Subject],
    stored: Sequence[FeatureSet],
    targets: Sequence[Target],
) -> Iterator[TransferCell]:
    """Every measure of every encoder's default feature on every target's images as they are.

    Encoders look at images, and features at the images that they were computed from.
    """
    if study.transfer is None:
        return
    for target in targets:
        plan = plain_plan(target.images.source)
        own = next((one for one in stored if one.images.source is target.images.source), None)
        for subject in subjects if own is None else own.subjects:
            cell = cell_of(study, subject, subject.encoder.default_tap, target.images, plan)
            for measure in (*study.transfer.probes, *study.transfer.scores):
                if target.values and measure not in MEASURES_OF[target.values.kind]:
                    continue
                yield TransferCell(cell=cell, target=target, measure=measure)


def _setting(study: Study, name: str) -> Setting:
    if name in study.custom_settings:
        return setting_from_config(name, study.custom_settings[name])
    return find_setting(name)
