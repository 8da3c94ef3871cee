"""Which colour and marker each model has, and in which order models are listed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

from mgm_jax.analysis.collapse.families import CONTROL_FAMILY, family_name

if TYPE_CHECKING:
    from mgm_jax.report.data.tables import StudyTables

# Colours live in the style sheet (Okabe and Ito 2008), so that they suit light and dark ground.
_COLOURS = tuple(f"--series-{number}" for number in range(1, 8))
_CONTROL_COLOUR = "--series-control"
_SYMBOLS = ("circle", "diamond", "square", "triangle-up")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One colour group.

    Attributes:
        name: what its models share.
        colour: name of a custom property of the style sheet.
        symbol: Plotly's name of the marker; differs where colours repeat.
        models: its models in the order of the study.
    """

    name: str
    colour: str
    symbol: str
    models: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Legend:
    """Colour groups of all models.

    Attributes:
        kind: what the groups are: ``family``, ``paradigm`` or ``encoder``.
        entries: the groups, the raw pixels last.
    """

    kind: str
    entries: tuple[Entry, ...]

    @property
    def models(self) -> list[str]:
        """All models, group by group."""
        return [model for entry in self.entries for model in entry.models]

    @property
    def colour_of(self) -> dict[str, str]:
        """Custom property of the colour of each model."""
        return {model: entry.colour for entry in self.entries for model in entry.models}

    @property
    def entry_of(self) -> dict[str, Entry]:
        """The colour group of each model."""
        return {model: entry for entry in self.entries for model in entry.models}

    def of(self, models: Iterable[str]) -> Legend:
        """The same colours, with no other models than these and no empty group."""
        wanted = set(models)
        kept = [
            replace(entry, models=tuple(model for model in entry.models if model in wanted))
            for entry in self.entries
        ]
        return Legend(kind=self.kind, entries=tuple(entry for entry in kept if entry.models))


def make_legend(models: pd.DataFrame, *, kind: str | None = None) -> Legend:
    """Colour by family where there are several, else by training paradigm.

    Args:
        models: rows with ``model``, ``family`` and ``paradigm``.
        kind: ``family`` or ``paradigm``, where the choice is not left to the models.
    """
    rows = models.drop_duplicates("model")
    control = rows["family"] == CONTROL_FAMILY
    kind = kind or next(
        (kind for kind in ("family", "paradigm") if rows.loc[~control, kind].nunique() > 1),
        "family",
    )
    names = rows[kind].where(~control, CONTROL_FAMILY).fillna("unknown").astype(str)
    ordered = sorted(dict.fromkeys(names), key=lambda name: name == CONTROL_FAMILY)
    entries = tuple(
        Entry(
            name=family_name(name),
            colour=_CONTROL_COLOUR if name == CONTROL_FAMILY else _COLOURS[rank % len(_COLOURS)],
            symbol=_SYMBOLS[rank // len(_COLOURS) % len(_SYMBOLS)],
            models=tuple(rows.loc[names == name, "model"]),
        )
        for rank, name in enumerate(ordered)
    )
    return Legend(kind=kind, entries=entries)


def paradigm_legend(tables: StudyTables) -> Legend:
    """Colours by training paradigm for every model that any table names.

    Models of published scores need not be encoders of the study; those whose paradigm no table
    tells are ``unknown``.
    """
    optional = tables.optional
    sources = (
        (tables.models, "model"),
        (tables.models, "encoder"),
        (optional.transfer, "model"),
        (optional.predictions, "model"),
        (optional.similarity, "encoder_a"),
        (optional.similarity, "encoder_b"),
        (optional.clusters, "encoder"),
    )
    named = pd.DataFrame(
        pd.concat([_named(frame, column) for frame, column in sources], ignore_index=True)
    )
    return make_legend(named, kind="paradigm")


def _named(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Models of one column with family and paradigm, where the table tells them."""
    told = "model" in frame
    blank = pd.Series("", index=frame.index)
    family = frame["family"].fillna("") if told and "family" in frame else blank
    paradigm = frame["paradigm"].fillna("") if told and "paradigm" in frame else blank
    return pd.DataFrame(
        {"model": frame[column], "family": family, "paradigm": paradigm.replace("", "unknown")}
    )
