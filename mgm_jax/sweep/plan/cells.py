"""What a study has to embed and measure, one cell at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mgm_jax.embeddings import Manifest, ViewPlan, manifest_for
from mgm_jax.files.names import safe_name
from mgm_jax.files.seals import digest_of
from mgm_jax.images import ImageSource, find_setting
from mgm_jax.study import Augmentation, MetricOptions, Study
from mgm_jax.sweep.subjects import Subject
from mgm_jax.whole_numbers import seeded

#: Raise it when a change of the code changes the numbers of a measured cell. From 4 on the unit of
#: the relative diameter is the root-mean-square distance of two images (before, the median distance
#: to the tenth nearest one, which falls as images are added), and the null of the affinity takes
#: all points of a group of up to 256.
MEASURE_VERSION = 4

#: The setting without augmentation: images as they are, resized and cropped.
SEMANTIC = "semantic"

#: Embeddings in one chunk, the same for every encoder: it is a part of what they are stored under.
CHUNK_ROWS = 512

#: Name of the manifold of all images that have no label.
UNLABELLED = "unlabelled"


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """An opened image set.

    Attributes:
        name: in the tables.
        source: the images.
        stored_as: name in the paths of embeddings, where it differs.
    """

    name: str
    source: ImageSource
    stored_as: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One encoder layer on one image set under one setting and strength.

    Attributes:
        subject: the encoder.
        tap: the layer that is read.
        images: the image set.
        plan: which views of which images, under which setting.
        manifest: what identifies the embeddings.
    """

    subject: Subject
    tap: str
    images: ImageSet
    plan: ViewPlan
    manifest: Manifest

    @property
    def setting(self) -> str:
        """Name of the augmentation setting, or ``semantic``."""
        return self.plan.setting.name

    @property
    def strength(self) -> float:
        """Strength of the setting; 0 for ``semantic``, which does nothing."""
        return 0.0 if self.setting == SEMANTIC else self.plan.strength

    @property
    def condition(self) -> str:
        """Setting and strength in one word: ``semantic``, ``augs@1``."""
        return SEMANTIC if self.setting == SEMANTIC else f"{self.setting}@{self.strength:g}"

    @property
    def label(self) -> str:
        """The cell in one line, for progress and errors."""
        return f"{self.subject.name} · {self.images.name} · {self.condition} · {self.tap}"

    def embeddings_folder(self, out: Path) -> Path:
        """Where the embeddings are stored below the study's output."""
        leaf = f"{self.images.stored_as or self.images.name}-{self.condition}-{self.tap}"
        digest = self.manifest.digest[:12]
        return out / "embeddings" / safe_name(self.subject.name) / f"{safe_name(leaf)}-{digest}"

    def groups(self) -> np.ndarray:
        """Name of the manifold that each embedding belongs to, [m * v]."""
        if self.setting != SEMANTIC:
            return self.points()
        labels = self.labels()
        # Images without labels are one cloud.
        names = (*self.images.source.classes, UNLABELLED)
        return np.asarray([names[label] for label in labels])

    def labels(self) -> np.ndarray:
        """Class of each image, -1 where it has none, [m]."""
        return np.asarray(self.images.source.labels)[list(self.plan.indices)]

    def points(self) -> np.ndarray:
        """Image id of each embedding, [m * v]."""
        ids = self.images.source.ids
        return np.repeat(np.asarray([ids[i] for i in self.plan.indices]), self.plan.views)

    def view_numbers(self) -> np.ndarray:
        """View number of each embedding, [m * v]."""
        return np.tile(np.arange(self.plan.views, dtype=np.int32), len(self.plan.indices))

    def measure_digest(self, options: MetricOptions, *, seed: int, reference: Cell) -> str:
        """Digest of the cell's records: embeddings, reference embeddings, options, version."""
        content = {
            "version": MEASURE_VERSION,
            "embeddings": self.manifest.digest,
            "reference": reference.manifest.digest,
            "options": options.model_dump(mode="json"),
            "seed": seed,
        }
        return digest_of(content)[:24]


def plain_plan(source: ImageSource) -> ViewPlan:
    """Every image as it is."""
    return ViewPlan(
        indices=tuple(range(len(source))),
        setting=find_setting(SEMANTIC),
        chunk_images=CHUNK_ROWS,
    )


def cell_of(study: Study, subject: Subject, tap: str, images: ImageSet, plan: ViewPlan) -> Cell:
    """The cell of one layer of an encoder, or of stored features, under a plan."""
    manifest = manifest_for(subject.encoder, images.source, plan, tap=tap, dtype=study.dtype)
    return Cell(subject=subject, tap=tap, images=images, plan=plan, manifest=manifest)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A part of a study that could not be done; the rest goes on.

    Attributes:
        images: the image set.
        where: the image that could not be read, or the cell that could not be measured.
        what: the error.
        is_image: whether it is an image.
    """

    images: str
    where: str
    what: str
    is_image: bool


def spread_over_classes(source: ImageSource, count: int, *, seed: int) -> np.ndarray:
    """Indices of ``count`` images, as even over the classes as can be, sorted.

    Each class is shuffled by ``seed`` and the classes are dealt from in turn, so a smaller count
    is a subset of a larger one.
    """
    labels = np.asarray(source.labels)
    rng = seeded(seed)
    decks = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    deepest = max(len(deck) for deck in decks)
    dealt = [deck[turn] for turn in range(deepest) for deck in decks if turn < len(deck)]
    return np.sort(np.asarray(dealt[:count], dtype=np.int64))


def settings_of(augmentation: Augmentation | None) -> tuple[tuple[str, float], ...]:
    """Every (setting, strength) of the augmentation manifolds."""
    if augmentation is None:
        return ()
    return tuple((name, s) for name in augmentation.settings for s in augmentation.strengths)
