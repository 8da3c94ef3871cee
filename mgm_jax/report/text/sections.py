"""Which sections the page has, and in which order.

A new section is a line here, a template of its name under ``templates/sections``, and its
figures in :mod:`mgm_jax.report.page`.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from mgm_jax.analysis import Collapse
from mgm_jax.report.text.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of the page.

    Attributes:
        name: its anchor, and the name of its template.
        label: words in the navigation.
    """

    name: str
    label: str


def page_sections(
    figures: Set[str], *, collapse: Collapse | None, verdicts: list[Verdict], claims: bool = False
) -> list[Section]:
    """Sections in reading order: what the headline speaks of comes first.

    Args:
        figures: names of the figures that the study gives.
        collapse: what was found on untrained encoders.
        verdicts: what was found on transfer prediction.
        claims: whether the study speaks to the claims of the paper.
    """
    prediction = {"prediction_scores", "prediction_scatter", "features"}
    sections = [
        ("prediction", "Prediction", bool(prediction & figures or verdicts)),
        ("manifolds", "Manifolds", "dots" in figures),
        ("strengths", "Strength", "strengths" in figures),
        ("layers", "Depth", "layers" in figures),
        ("numbers", "Numbers", True),
        ("likeness", "Likeness", bool({"heatmap", "map", "similarity"} & figures)),
        ("transfer", "Transfer", "probes" in figures),
        ("points", "Points", "distribution" in figures),
        ("collapse", "Collapse", "collapse" in figures),
        ("losses", "Left out", True),
        ("downloads", "Tables", True),
        ("definitions", "Definitions", True),
        ("provenance", "Provenance", True),
    ]
    tested = collapse is not None and collapse.claim != "untested"
    if tested and not verdicts:
        # A stable sort: only the collapse moves to the front.
        sections.sort(key=lambda section: section[0] != "collapse")
    # Whoever tests the claims reads their verdicts first, and finds the evidence below.
    sections = [("claims", "Claims", claims), *sections]
    return [Section(name=name, label=label) for name, label, present in sections if present]
