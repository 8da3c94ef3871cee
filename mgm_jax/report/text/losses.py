"""What is missing from the tables: images that could not be read, points that were left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mgm_jax.report.data.definitions import define
from mgm_jax.report.data.tables import CELL, StudyTables
from mgm_jax.report.text.labels import shorten

_MAX_EXAMPLES = 20


@dataclass(frozen=True, kw_only=True)
class FailedImages:
    """Images of one set that could not be read.

    Attributes:
        images: name of the image set.
        count: number of failed images.
        total: number of images that were to be read; None where the study does not say.
        examples: pairs of image and message, the first few.
    """

    images: str
    count: int
    total: int | None
    examples: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Points that a metric has no value for: name of the metric, how many, out of how many."""

    label: str
    count: int
    total: int


def failed_images(study: dict[str, Any]) -> list[FailedImages]:
    """Failures as ``study.json`` counts them.

    Its entry ``failures`` maps each image set to ``{"count": 3, "images": 1600, "examples":
    [["class/image.jpg", "message"], ...]}``, or to the count alone.
    """
    failures = study.get("failures") or {}
    if not isinstance(failures, dict):
        return []
    losses = []
    for images, entry in failures.items():
        facts = entry if isinstance(entry, dict) else {"count": entry}
        examples = [
            (shorten(str(name), most=120), shorten(str(message), most=240))
            for name, message in (facts.get("examples") or [])[:_MAX_EXAMPLES]
        ]
        losses.append(
            FailedImages(
                images=str(images),
                count=int(facts.get("count") or 0),
                total=facts.get("images"),
                examples=tuple(examples),
            )
        )
    return losses


def small_manifolds(study: dict[str, Any]) -> list[str]:
    """What was left out because its manifold is too small for any metric, in words."""
    return [shorten(str(what), most=240) for what in study.get("small_manifolds") or []]


@dataclass(frozen=True, kw_only=True)
class PassedOver:
    """Files of an image set that were not read.

    Attributes:
        images: name of the image set.
        reason: why.
        count: how many.
        examples: the first few.
    """

    images: str
    reason: str
    count: int
    examples: tuple[str, ...]


def passed_over_files(study: dict[str, Any]) -> list[PassedOver]:
    """Files that were passed over, as the entry ``passed_over`` of ``study.json`` counts them."""
    of_sets = study.get("passed_over")
    return [
        PassedOver(
            images=str(images),
            reason=str(entry.get("reason")),
            count=int(entry.get("count") or 0),
            examples=tuple(
                shorten(str(name), most=120) for name in entry.get("examples", [])[:_MAX_EXAMPLES]
            ),
        )
        for images, entries in (of_sets if isinstance(of_sets, dict) else {}).items()
        for entry in entries
    ]


def image_notes(study: dict[str, Any]) -> list[tuple[str, str]]:
    """What was understood of image sets, as pairs of set and note."""
    of_sets = study.get("image_notes")
    return [
        (str(images), shorten(str(note), most=400))
        for images, notes in (of_sets if isinstance(of_sets, dict) else {}).items()
        for note in notes
    ]


def failed_cells(study: dict[str, Any]) -> list[tuple[str, str]]:
    """Cells of the study that could not be measured: pairs of name and message.

    They are the entry ``failed_cells`` of ``study.json``.
    """
    return [
        (shorten(str(name), most=160), shorten(str(message), most=240))
        for name, message in study.get("failed_cells") or []
    ]


def left_out_points(tables: StudyTables) -> list[LeftOut]:
    """Metrics that have no value for some points, over all models and settings."""
    if "left_out" not in tables.summary.columns:
        return []
    # What every metric of a cell lacks are manifolds too small for any; those are said apart.
    of_cells = tables.summary.groupby(list(CELL), sort=False, dropna=False)["left_out"]
    own = tables.summary["left_out"] - of_cells.transform("min")
    counts = tables.summary.assign(left_out=own).groupby("metric", sort=False)
    sums = counts.agg({"left_out": "sum", "points": "sum"})
    return [
        LeftOut(
            label=define(row["metric"]).label,
            count=row["left_out"],
            total=row["left_out"] + row["points"],
        )
        for row in sums.reset_index().to_dict("records")
        if row["left_out"] > 0
    ]
