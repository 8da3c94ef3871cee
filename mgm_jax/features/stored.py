"""Features in the place of an encoder: what a study asks of a model, answered from files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from mgm_jax.embeddings import EmbeddingStore
from mgm_jax.errors import InputError, name_some
from mgm_jax.features.files import FeatureFile
from mgm_jax.geometry.points.rounding import refuse_lost_digits

SETTING = "views"
"""Name of the setting of features ``[images, views, d]``."""


@dataclass(frozen=True, kw_only=True)
class StoredSpec:
    """What is known of the network behind stored features: a name.

    Attributes:
        family: encoders that are compared as one group.
        depth_taps: the layers that were stored, in the order of the study.
    """

    family: str
    depth_taps: tuple[str, ...]

    def relative_depth(self, tap: str) -> float | None:
        """Place among the layers, 0 the first to 1 the last; None where there is one."""
        if len(self.depth_taps) < 2:
            return None
        return self.depth_taps.index(tap) / (len(self.depth_taps) - 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredFeatures:
    """A model of which only features are at hand.

    Attributes:
        name: in the tables.
        layers: features of each layer, by its name, last the one that stands for the model; all
            of the same images, in the same order.
        rows: row of each image of the set in the files ``[n]``.
        family: encoders that are compared as one group.
        meta: what else is known: ``paradigm``, ``method``.
    """

    name: str
    layers: Mapping[str, FeatureFile]
    rows: np.ndarray = field(repr=False)
    family: str = "features"
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of the layers."""
        return tuple(self.layers)

    @property
    def default_tap(self) -> str:
        """The layer that stands for the model."""
        return self.taps[-1]

    @property
    def spec(self) -> StoredSpec:
        """What is known of the network."""
        return StoredSpec(family=self.family, depth_taps=self.taps)

    @property
    def views(self) -> int | None:
        """Views of each image; None where there is one row an image."""
        shape = next(iter(self.layers.values())).shape
        return shape[1] if len(shape) == 3 else None

    @cached_property
    def digest(self) -> str:
        """sha256 of the features and of their order."""
        total = hashlib.sha256(self.rows.astype("<i8").tobytes())
        for tap, file in self.layers.items():
            total.update(f"{tap}:{file.digest}".encode())
        return total.hexdigest()

    def width(self, tap: str) -> int:
        """Features of a layer."""
        return self.layers[tap].shape[-1]


def copy_features(model: StoredFeatures, tap: str, store: EmbeddingStore) -> None:
    """Copy the rows of a layer into a store, the chunks that it lacks.

    Of features ``[images, views, d]`` a store with one row an image takes the first view.

    Raises:
        InputError: rows that hold NaN or Inf, which are named; float64 whose differences float32
            loses.
    """
    file = model.layers[tap]
    views = store.manifest.views
    missing = store.missing()
    # Files that are read from front to back are best asked in their order.
    in_order = bool(np.all(np.diff(model.rows) > 0))
    for chunk in missing:
        rows = store.manifest.chunk_slice(chunk)
        images = model.rows[rows.start // views : rows.stop // views]
        block = _read(file, images, in_order=in_order)
        if block.ndim == 3:
            block = block[:, :views].reshape(-1, block.shape[-1])
        with np.errstate(over="ignore"):
            wide = np.asarray(block, np.float32)
        bad = np.flatnonzero(~np.isfinite(wide).all(axis=1))
        if bad.size:
            positions = images[bad // views]
            raise InputError(
                f"features: {file.path} must hold finite numbers; rows "
                f"{name_some(positions.tolist())} hold NaN or Inf. Leave these images out."
            )
        refuse_lost_digits(block, wide, name=f"features: {file.path}")
        store.write(chunk, wide)


def _read(file: FeatureFile, rows: np.ndarray, *, in_order: bool) -> np.ndarray:
    if in_order and rows[-1] - rows[0] == len(rows) - 1:
        return file.read(int(rows[0]), int(rows[-1]) + 1)
    order = np.argsort(rows, kind="stable")
    parts, start = [], 0
    ordered = rows[order]
    while start < len(ordered):
        # Runs of rows that follow each other are read at once.
        run = start + 1
        while run < len(ordered) and ordered[run] == ordered[run - 1] + 1:
            run += 1
        parts.append(file.read(int(ordered[start]), int(ordered[run - 1]) + 1))
        start = run
    stacked = np.concatenate(parts)
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return stacked[back]
