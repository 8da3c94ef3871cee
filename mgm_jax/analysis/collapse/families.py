"""Families of untrained encoders and the values by which their collapse is judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mgm_jax.analysis.collapse.comparison import Estimate
from mgm_jax.errors import InputError, name_some

CONTROL_FAMILY = "pixels"

_PLAIN_NAMES = {"conv4": "Conv4", "pixels": "raw pixels"}
# How a family's name starts, the words for it, and what it counts as.
_KINDS = (
    ("resnet_cifar", "CIFAR ResNet", "resnet"),
    ("wide_resnet", "Wide ResNet", "resnet"),
    ("resnet", "ResNet", "resnet"),
    ("vit", "ViT", "vit"),
)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One value by which collapse shows.

    Attributes:
        name: column of the tables.
        label: words for it.
        by_group: True where the value exists per semantic manifold (a class), False where the
            whole model has one.
        low: smallest possible value.
        high: largest possible value.
    """

    name: str
    label: str
    by_group: bool
    low: float
    high: float


COSINE = Measure(
    name="mean_cosine",
    label="mean cosine between different images",
    by_group=False,
    low=-1.0,
    high=1.0,
)

MEASURES = (
    COSINE,
    Measure(
        name="nnk_diameter",
        label="NNK diameter of semantic manifolds",
        by_group=True,
        low=0.0,
        high=2.0,
    ),
    Measure(
        name="typical_distance",
        label="typical distance between neighbouring images",
        by_group=False,
        low=0.0,
        high=2.0,
    ),
    Measure(name="rankme", label="RankMe", by_group=False, low=1.0, high=np.inf),
)


@dataclass(frozen=True, kw_only=True)
class FamilyCollapse:
    """What was measured on one family of untrained encoders, or on the raw pixels.

    Attributes:
        family: name in the tables, such as ``resnet18``.
        name: name for sentences, such as ``ResNet-18``.
        control: True for the raw pixels.
        encoders: the encoders of the family, one a seed.
        measures: an estimate for every measure that the tables hold.
        seed_values: the value of each seed for every measure, in the order of ``encoders``.
        verdict: ``collapsed``, ``not collapsed``, ``undecided``, or ``control``.
    """

    family: str
    name: str
    control: bool
    encoders: tuple[str, ...]
    measures: dict[str, Estimate]
    seed_values: dict[str, tuple[float, ...]]
    verdict: str


def family_name(family: str) -> str:
    """The words for a family; the name itself where none are known.

    >>> [family_name(name) for name in ("resnet18", "vit_mini", "pixels", "mine")]
    ['ResNet-18', 'ViT-mini', 'raw pixels', 'mine']
    """
    for start, words, _ in _KINDS:
        if family.startswith(start):
            rest = family.removeprefix(start).strip("_-")
            return f"{words}-{rest}" if rest else words
    return _PLAIN_NAMES.get(family, family)


def family_kind(family: str) -> str:
    """What a family counts as in the paper's claim: ``resnet``, ``vit`` or ``other``.

    >>> family_kind("resnet18")
    'resnet'
    """
    return next((kind for start, _, kind in _KINDS if family.startswith(start)), "other")


def untrained_families(models: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """The untrained encoders of each family and the raw pixels, families and encoders sorted.

    Args:
        models: rows with ``encoder``, ``family`` and ``paradigm``.
    """
    control = models["family"] == CONTROL_FAMILY
    chosen = models[control | (models["paradigm"] == "untrained")]
    families = {
        str(family): tuple(sorted(set(map(str, rows["encoder"]))))
        for family, rows in chosen.groupby("family", sort=True)
    }
    # The control comes last wherever families are listed.
    return dict(sorted(families.items(), key=lambda item: item[0] == CONTROL_FAMILY))


def measure_values(
    measure: Measure, encoders: tuple[str, ...], groups: pd.DataFrame, models: pd.DataFrame
) -> np.ndarray | None:
    """Values [s, g] of one measure, a row an encoder; None where the tables do not hold it.

    Columns are the groups of ``groups`` in sorted order, the same for every family, with NaN
    where an encoder lacks a group; a measure of the whole model has one column.
    """
    if measure.by_group:
        if measure.name not in groups.columns:
            return None
        table = groups.pivot_table(
            index="encoder", columns="group", values=measure.name, aggfunc="mean", dropna=False
        )
    else:
        if measure.name not in models.columns:
            return None
        table = models.groupby("encoder").agg({measure.name: "mean"})
    values = table.reindex(list(encoders)).to_numpy(np.float64)
    return values if np.isfinite(values).any() else None


def require_columns(frame: pd.DataFrame, columns: tuple[str, ...], *, name: str) -> None:
    """Refuse a table that lacks columns.

    Raises:
        InputError: naming the table, the columns that are missing and those it has.
    """
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise InputError(
            f"{name}: expected the columns {', '.join(columns)}; missing "
            f"{name_some(missing)}. The table has {name_some(frame.columns, most=20)}."
        )
