"""One self-contained page from the tables of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mgm_jax.analysis.collapse.families import CONTROL_FAMILY
from mgm_jax.files.whole import whole_file
from mgm_jax.report.data.definitions import (
    CHECK_METRICS,
    DEFINITIONS,
    STATUSES,
    define,
)
from mgm_jax.report.data.downloads import find_downloads
from mgm_jax.report.data.packing import pack, packed_plotly
from mgm_jax.report.data.tables import StudyTables, read_tables
from mgm_jax.report.figures.collapse import collapse_figure, difference_rows
from mgm_jax.report.figures.distribution import distribution_figure
from mgm_jax.report.figures.dots import dot_figure
from mgm_jax.report.figures.layer_profile import layer_figure
from mgm_jax.report.figures.legend import make_legend, paradigm_legend
from mgm_jax.report.figures.likeness.heatmap import heatmap_figure
from mgm_jax.report.figures.likeness.model_map import map_figure
from mgm_jax.report.figures.likeness.similarity import similarity_figure
from mgm_jax.report.figures.strengths import strength_figure
from mgm_jax.report.figures.transfer.features import feature_figure
from mgm_jax.report.figures.transfer.prediction_scores import prediction_figure
from mgm_jax.report.figures.transfer.probes import probe_figure
from mgm_jax.report.figures.transfer.transfer_scatter import scatter_figure
from mgm_jax.report.text.claims import judge_claims
from mgm_jax.report.text.headline import find_headline, judge_collapse
from mgm_jax.report.text.losses import (
    failed_cells,
    failed_images,
    image_notes,
    left_out_points,
    passed_over_files,
    small_manifolds,
)
from mgm_jax.report.text.number_tables import number_tables
from mgm_jax.report.text.origins import encoder_origins
from mgm_jax.report.text.prediction_table import prediction_tables
from mgm_jax.report.text.probe_table import probe_tables
from mgm_jax.report.text.sections import page_sections
from mgm_jax.report.text.verdict import judge_prediction


def write_report(out_folder: str | Path) -> Path:
    """Write ``report.html`` beside the tables of a study and return its path.

    The page holds everything it shows, plotly.js included, and fetches nothing: it opens from
    disk without a network, in browsers that can unpack what is deflated (Chrome and Edge 80,
    Firefox 113, Safari 16.4, or later); older ones show all but the figures. A reader never
    meets half a page: an old one stays until the new one is whole.

    Args:
        out_folder: folder with ``summary``, ``groups``, ``models`` and ``points`` (Parquet) and
            ``study.json``; where ``transfer``, ``clusters``, ``cluster_agreement``,
            ``cluster_tree``, ``similarity``, ``prediction``, ``predictions`` or ``features``
            (Parquet) lie beside them, the page has their sections too.

    Raises:
        InputError: a table is missing, empty, damaged, or lacks columns.

    Example::

        path = write_report("out")
    """
    folder = Path(out_folder)
    page = render_page(read_tables(folder))
    target = folder / "report.html"
    with whole_file(target) as part:
        part.write_text(page, encoding="utf-8")
    return target


def render_page(tables: StudyTables) -> str:
    """The page as text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mgm_jax.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html")
    return template.render(**_content(tables), plotly=packed_plotly())


def _content(tables: StudyTables) -> dict[str, Any]:
    legend = make_legend(tables.models)
    by_paradigm = paradigm_legend(tables)
    # The colours of the other figures serve where all encoders were trained alike.
    likeness = by_paradigm.of(tables.models["model"]) if _several(tables) else legend
    collapse = judge_collapse(tables)
    figures = {
        "prediction_scores": prediction_figure(tables),
        "prediction_scatter": scatter_figure(tables, by_paradigm),
        "features": feature_figure(tables),
        "probes": probe_figure(tables, by_paradigm),
        "collapse": collapse_figure(collapse, legend) if collapse else None,
        "dots": dot_figure(tables, legend),
        "strengths": strength_figure(tables, legend),
        "layers": layer_figure(tables, legend),
        "heatmap": heatmap_figure(tables, likeness),
        "map": map_figure(tables, by_paradigm),
        "similarity": similarity_figure(tables, by_paradigm),
        "distribution": distribution_figure(tables, legend),
    }
    drawn = {name for name, figure in figures.items() if figure is not None}
    verdicts = judge_prediction(tables.optional.prediction)
    claims = judge_claims(
        tables.optional.cluster_agreement, tables.optional.prediction, verdicts, collapse
    )
    origins = encoder_origins(tables.study)
    return {
        "title": _study_name(tables),
        "headline": find_headline(tables, collapse),
        "sections": page_sections(drawn, collapse=collapse, verdicts=verdicts, claims=bool(claims)),
        "claims": claims,
        "facts": _facts(tables),
        "percent": tables.percent,
        "legend": legend,
        "by_paradigm": by_paradigm,
        "likeness_legend": likeness,
        "collapse": collapse,
        "collapse_in_headline": not verdicts,
        "differences": difference_rows(collapse) if collapse else [],
        "figures": {name: pack(f.to_json()) for name, f in figures.items() if f is not None},
        "number_tables": number_tables(tables, legend),
        "prediction_tables": prediction_tables(tables.optional.prediction),
        "probe_tables": probe_tables(tables.optional, by_paradigm),
        "downloads": find_downloads(tables.folder),
        "failures": failed_images(tables.study),
        "failed_cells": failed_cells(tables.study),
        "small_manifolds": small_manifolds(tables.study),
        "passed_over": passed_over_files(tables.study),
        "image_notes": image_notes(tables.study),
        "left_out": left_out_points(tables),
        "origins": origins,
        "guesses": [origin.name for origin in origins if origin.guessed],
        "definitions": _definitions(tables),
        "statuses": STATUSES,
        "study_text": _study_text(tables.study),
        "versions": _strings(tables.study.get("versions")),
    }


def _several(tables: StudyTables) -> bool:
    """There are encoders of several paradigms, the raw pixels aside."""
    trained = tables.models.loc[tables.models["family"] != CONTROL_FAMILY, "paradigm"]
    return trained.nunique() > 1


def _study_name(tables: StudyTables) -> str:
    study = tables.study.get("study")
    name = study.get("name") if isinstance(study, dict) else None
    return str(name or "study")


def _facts(tables: StudyTables) -> list[tuple[str, str]]:
    """Sizes of the study: number and what it counts."""
    encoders = tables.models["encoder"].nunique()
    groups = tables.groups.drop_duplicates(["images", "setting", "group"]).shape[0]
    facts = [
        (encoders, "encoder"),
        (len(tables.image_sets), "image set"),
        (len(tables.settings), "setting"),
        (groups, "manifold"),
        (len(tables.points), "measured point"),
    ]
    return [(f"{count:,}", name if count == 1 else f"{name}s") for count, name in facts]


def _definitions(tables: StudyTables) -> list[tuple[str, list[Any]]]:
    """Definitions of the columns that the study has, in sections."""
    measured = set(tables.summary["metric"].astype(str)) | set(map(str, tables.models.columns))
    known = [definition for name, definition in DEFINITIONS.items() if name in measured]
    others = sorted(set(tables.summary["metric"].astype(str)) - set(DEFINITIONS))
    properties = [d for d in known if d.name not in CHECK_METRICS]
    properties += [define(name) for name in others]
    checks = [d for d in known if d.name in CHECK_METRICS]
    sections = [("Properties of the encoder", properties), ("Checks of the computation", checks)]
    return [(title, rows) for title, rows in sections if rows]


def _study_text(study: dict[str, Any]) -> str:
    import yaml

    elsewhere = (
        *("versions", "failures", "failed_cells", "small_manifolds", "encoders"),
        *("passed_over", "image_notes"),
    )
    shown = {key: value for key, value in study.items() if key not in elsewhere}
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True) if shown else ""


def _strings(entries: Any) -> dict[str, str]:
    if not isinstance(entries, dict):
        return {}
    return {str(key): str(value) for key, value in entries.items()}
