"""Figures and tables of probes, prediction, clusters and similarity: faithful to their tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from scipy.spatial.distance import pdist, squareform
from sklearn.decomposition import PCA

from mgm_jax.errors import InputError
from mgm_jax.report import write_report
from mgm_jax.report.data.downloads import find_downloads
from mgm_jax.report.data.optional_tables import OptionalTables, read_optional_tables
from mgm_jax.report.data.tables import StudyTables, read_tables
from mgm_jax.report.figures.facets import axis_names
from mgm_jax.report.figures.figure import Figure
from mgm_jax.report.figures.legend import paradigm_legend
from mgm_jax.report.figures.likeness.dendrogram import tree_of_tables
from mgm_jax.report.figures.likeness.heatmap import heatmap_figure
from mgm_jax.report.figures.likeness.model_map import classical_scaling, map_figure, principal_axes
from mgm_jax.report.figures.likeness.similarity import similarity_figure, similarity_matrix
from mgm_jax.report.figures.transfer.features import feature_figure
from mgm_jax.report.figures.transfer.prediction_scores import prediction_figure
from mgm_jax.report.figures.transfer.probes import probe_figure
from mgm_jax.report.figures.transfer.transfer_scatter import scatter_figure
from mgm_jax.report.text.prediction_table import prediction_tables
from mgm_jax.report.text.probe_table import probe_tables
from tests.report.pages import unpack, with_colours

Study = Callable[[str], Path]

OPTIONAL = tuple(OptionalTables.__dataclass_fields__)


@pytest.fixture(scope="module")
def tables(study: Study) -> StudyTables:
    return read_tables(study("transfer"))


def figures_of(tables: StudyTables) -> Iterator[Figure]:
    legend = paradigm_legend(tables)
    result = (
        scatter_figure(tables, legend),
        prediction_figure(tables),
        feature_figure(tables),
        probe_figure(tables, legend),
        heatmap_figure(tables, legend),
        map_figure(tables, legend),
        similarity_figure(tables, legend),
    )
    return (figure for figure in result if figure is not None)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["transfer", "hostile"])
def test_every_choice_has_a_view_that_plotly_accepts(study: Study, case: str):
    figures = list(figures_of(read_tables(study(case))))
    assert len(figures) == 7
    for figure in figures:
        keys = [()]
        for choice in figure.choices:
            keys = [(*key, value) for key in keys for value, _ in choice.options]
        assert set(keys) == set(figure.views)
        content = json.loads(figure.to_json())
        view = list(content["views"].values())[-1]
        layouts = [content["layouts"][position] for position in view["layouts"]]
        data = [{k: v for k, v in t.items() if not k.startswith("pair_")} for t in view["data"]]
        for entry in layouts:
            own = ("minimum_width", "maximum_width")
            layout = {k: v for k, v in entry["layout"].items() if k not in own}
            go.Figure(data=with_colours(data), layout=with_colours(layout))
        assert layouts[-1]["min_width"] == 0


def test_scatter_holds_every_prediction(tables: StudyTables):
    figure = scatter_figure(tables, paradigm_legend(tables))
    assert figure is not None
    view = figure.views["rankme", "family", "0"]
    rows = tables.optional.predictions.query("predictors == 'rankme' and held_out == 'family'")
    for panel, task in enumerate(dict.fromkeys(rows["task"])):
        dots = [
            (x, y)
            for trace in view.data
            if trace["mode"] == "markers" and trace["xaxis"] == axis_names(panel)["xaxis"]
            for x, y in zip(trace["x"], trace["y"], strict=True)
        ]
        own = rows.loc[rows["task"] == task]
        np.testing.assert_allclose(
            sorted(dots), sorted(zip(own["measured"], own["predicted"], strict=True)), rtol=1e-3
        )
        for entry in view.layouts:
            axes = axis_names(panel)
            ranges = [entry.layout[f"{a}axis{axes[f'{a}axis'][1:]}"]["range"] for a in "xy"]
            assert ranges[0] == ranges[1]


def test_a_wild_prediction_is_drawn_at_the_edge_and_hollow(study: Study, tmp_path: Path):
    folder = _copy(study("transfer"), tmp_path)
    rows = pd.read_parquet(folder / "predictions.parquet")
    rows.loc[0, "predicted"] = 1e6
    rows.to_parquet(folder / "predictions.parquet")
    result = read_tables(folder)
    figure = scatter_figure(result, paradigm_legend(result))
    assert figure is not None
    view = figure.views["mgm", "model", "0"]
    marks = [mark for t in view.data if t["mode"] == "markers" for mark in t["marker"]["symbol"]]
    assert [mark.endswith("-open") for mark in marks].count(True) == 1
    assert max(y for t in view.data for y in t["y"]) < 10


@pytest.mark.parametrize("crowded, side", [("upper left", "right"), ("lower right", "left")])
def test_the_label_of_a_panel_is_in_the_emptier_corner(
    study: Study, tmp_path: Path, crowded: str, side: str
):
    folder = _copy(study("transfer"), tmp_path)
    rows = pd.read_parquet(folder / "predictions.parquet")
    measured = rows.groupby(["task", "predictors", "held_out"])["measured"]
    low, high = measured.transform("min"), measured.transform("max")
    position = (rows["measured"] - low) / (high - low)
    # Nobody lies in the other corner: all others are foretold in the middle.
    if crowded == "upper left":
        rows["predicted"] = high.where(position < 0.3, (low + high) / 2)
    else:
        rows["predicted"] = low.where(position > 0.7, (low + high) / 2)
    rows.to_parquet(folder / "predictions.parquet")
    result = read_tables(folder)
    figure = scatter_figure(result, paradigm_legend(result))
    assert figure is not None
    for entry in figure.views["mgm", "model", "0"].layouts:
        labels = [a for a in entry.layout["annotations"] if a["text"].startswith("R²")]
        assert labels
        assert {label["xanchor"] for label in labels} == {side}


def test_the_model_that_makes_most_of_the_error_is_named(study: Study, tmp_path: Path):
    folder = _copy(study("transfer"), tmp_path)
    rows = pd.read_parquet(folder / "prediction.parquet")
    first = (rows["predictors"] == "mgm") & (rows["held_out"] == "model")
    first &= rows["task"] == rows["task"].iloc[0]
    rows["worst_share"] = np.where(first, 0.93, 0.2)
    rows.loc[first, "worst_model"] = "raw pixels"
    rows.to_parquet(folder / "prediction.parquet")
    result = read_tables(folder)
    figure = prediction_figure(result)
    assert figure is not None
    said = figure.views["r2", "model"].note
    task = rows["task"].iloc[0]
    assert f"{task}: 93% of the squared error of the MGM is that of one model, raw pixels." in said
    assert "squared error" not in figure.views["r2", "family"].note
    table, _ = prediction_tables(result.optional.prediction)
    position = [label for label, _ in table.columns].index("Largest error")
    cells = [row.cells[position] for row in table.rows if row.full_name == task]
    assert ("93%", "raw pixels") in [(cell.text, cell.interval) for cell in cells]
    # Tables of an earlier version do not say it.
    rows.drop(columns=["worst_model", "worst_share"]).to_parquet(folder / "prediction.parquet")
    table, _ = prediction_tables(read_tables(folder).optional.prediction)
    assert "Largest error" not in [label for label, _ in table.columns]
    assert {len(row.cells) for row in table.rows} == {len(table.columns)}


def test_scores_show_the_metrics_the_baselines_and_chance(tables: StudyTables):
    figure = prediction_figure(tables)
    assert figure is not None
    view = figure.views["r2", "model"]
    labels = view.layouts[0].layout["yaxis"]["ticktext"]
    assert labels[:5] == ["MGM", "k-NN accuracy", "RankMe", "LogME", "mean of the others"]
    assert labels[5:] == ["random features"]
    rows = tables.optional.prediction.query("held_out == 'model' and predictors == 'mgm'")
    drawn = [t["x"][0] for t in view.data if t["mode"] == "markers" and t["y"] == [0]]
    np.testing.assert_allclose(drawn, rows["r2"].clip(lower=-1), rtol=1e-4)


def test_prediction_table_marks_what_is_ahead(tables: StudyTables):
    table = prediction_tables(tables.optional.prediction)[0]
    rows = tables.optional.prediction.query("held_out == 'model'")
    assert len(table.rows) == len(rows)
    assert [row.full_name for row in table.rows if row.strong] == ["caltech20"]
    r2 = [label for label, _ in table.columns].index("R²")
    shown = {(row.full_name, row.cells[0].text): row.cells[r2].value for row in table.rows}
    for row in rows.query("predictors == 'rankme'").to_dict("records"):
        assert shown[row["task"], "RankMe"] == row["r2"]


def test_features_are_filled_only_where_stable(tables: StudyTables):
    figure = feature_figure(tables)
    assert figure is not None
    rows = tables.optional.features
    heads = [t for t in figure.views[("0",)].data if t["mode"] == "markers"]
    filled = sum(colour != "--ground" for t in heads for colour in t["marker"]["color"])
    assert filled == ((rows["selected"] >= 0.5) & (rows["sign"] >= 0.9)).sum() > 0
    assert sum(len(t["x"]) for t in heads) == len(rows)


def test_probes_hold_every_score_with_its_interval(tables: StudyTables):
    legend = paradigm_legend(tables)
    figure = probe_figure(tables, legend)
    assert figure is not None
    view = figure.views[("linear",)]
    rows = tables.optional.transfer.query("measure == 'linear'")
    drawn = {}
    for trace in view.data:
        panel = trace["xaxis"]
        for x, y, up, symbol in zip(
            trace["x"],
            trace["y"],
            trace["error_x"]["array"],
            trace["marker"]["symbol"],
            strict=True,
        ):
            drawn[panel, legend.models[y]] = (x, up, symbol.endswith("-open"))
    assert len(drawn) == len(rows)
    for panel, target in enumerate(dict.fromkeys(rows["images"])):
        for row in rows.loc[rows["images"] == target].itertuples():
            x, up, hollow = drawn[axis_names(panel)["xaxis"], row.model]
            assert (x, up) == pytest.approx((row.value, row.high - row.value), rel=1e-3)
            assert hollow == (not row.converged)
    assert "5 of 60 fits" in view.note
    result = {table.key: table for table in probe_tables(tables.optional, legend)}
    first = result[("linear probe",)].rows[0]
    own = rows.loc[rows["model"] == first.full_name, "value"]
    assert [cell.value for cell in first.cells] == own.tolist()


def test_the_given_tree_is_drawn_with_its_leaves_in_place(tables: StudyTables):
    given = tables.optional.clusters
    view = heatmap_figure(tables, paradigm_legend(tables)).views[("digits",)]  # pyright: ignore
    order = given.sort_values("position")["encoder"].tolist()
    assert view.layouts[0].layout["yaxis"]["ticktext"] == order
    strip = view.data[1]
    colours = paradigm_legend(tables).colour_of
    assert strip["marker"]["color"] == [colours[name] for name in order]
    lines = [t for t in view.data[2:] if "dash" not in t["line"]]
    leaves = [y for t in lines for x, y in zip(t["x"], t["y"], strict=True) if x == 0]
    assert sorted(leaves) == list(range(len(order)))
    # A coloured branch begins only at leaves of its own colour.
    for trace in lines:
        if trace["line"]["color"] != "--muted":
            own = [y for x, y in zip(trace["x"], trace["y"], strict=True) if x == 0]
            assert {colours[order[y]] for y in own} == {trace["line"]["color"]}
    assert "3 groups" in view.note
    assert "paradigm 0.120 (p = 0.210)" in view.note


def test_a_tree_of_other_encoders_is_not_drawn(tables: StudyTables):
    names = set(tables.models["model"])
    assert tree_of_tables(tables, "digits", names) is not None
    assert tree_of_tables(tables, "digits", names | {"another"}) is None
    assert tree_of_tables(tables, "other images", names) is None


def test_similarity_is_symmetric_with_ones_on_the_diagonal(tables: StudyTables):
    rows = tables.optional.similarity.query("measure == 'cka'")
    names, matrix = similarity_matrix(rows)
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_array_equal(np.diag(matrix), 1)
    row = rows.iloc[17]
    assert matrix[names.index(row["encoder_b"]), names.index(row["encoder_a"])] == row["value"]
    figure = similarity_figure(tables, paradigm_legend(tables))
    assert figure is not None
    cells = figure.views["digits", "cka"].data[0]
    position = {name: at for at, name in enumerate(cells["pair_names"])}
    at = position[row["encoder_a"]], position[row["encoder_b"]]
    assert cells["z"][at[0]][at[1]] == pytest.approx(row["value"], abs=1e-3)
    assert cells["pair_low"][at[0]][at[1]] == pytest.approx(row["low"], abs=1e-3)


def test_map_axes_are_principal_components():
    values = np.random.default_rng(0).normal(size=(12, 5)) * [1, 2, 3, 4, 5]
    plane, shares = principal_axes(values)
    oracle = PCA(n_components=2)
    standardised = (values - values.mean(0)) / values.std(0)
    np.testing.assert_allclose(np.abs(plane), np.abs(oracle.fit_transform(standardised)), atol=1e-9)
    np.testing.assert_allclose(shares, oracle.explained_variance_ratio_, atol=1e-12)
    assert (plane[np.abs(plane).argmax(0), [0, 1]] > 0).all()


def test_classical_scaling_recovers_distances_in_the_plane():
    points = np.random.default_rng(1).normal(size=(9, 2)) / 5
    distances = squareform(pdist(points))
    plane, shares = classical_scaling(1 - distances)
    np.testing.assert_allclose(squareform(pdist(plane)), distances, atol=1e-10)
    assert shares.sum() == pytest.approx(1)


def test_labels_of_the_map_cover_no_other_mark(tables: StudyTables):
    figure = map_figure(tables, paradigm_legend(tables))
    assert figure is not None
    assert [value for value, _ in figure.choices[1].options] == ["metrics", "mutual_knn", "cka"]
    for view in figure.views.values():
        assert sum(len(trace["x"]) for trace in view.data) == 12
        for entry in view.layouts:
            texts = [annotation["text"] for annotation in entry.layout["annotations"]]
            assert len(set(texts)) == len(texts) <= 12


@pytest.mark.slow
def test_every_optional_table_may_be_missing_or_empty(study: Study, tmp_path: Path):
    folder = _copy(study("few targets"), tmp_path)
    own = {
        "transfer": "probes",
        "similarity": "similarity",
        "prediction": "prediction_scores",
        "predictions": "prediction_scatter",
        "features": "features",
    }
    everything = {figure.name for figure in figures_of(read_tables(folder))}
    for gone in OPTIONAL:
        path = folder / f"{gone}.parquet"
        kept = path.read_bytes()
        path.unlink()
        tables = read_tables(folder)
        left = {figure.name for figure in figures_of(tables)}
        assert left == everything - {own.get(gone, "")}
        # A study that ran without result writes a table without rows, or without columns.
        pd.DataFrame().to_parquet(path)
        empty = getattr(read_optional_tables(folder), gone)
        pd.testing.assert_frame_equal(empty, getattr(tables.optional, gone))
        path.write_bytes(kept)


@pytest.mark.slow
def test_empty_tables_leave_the_page_as_without_them(study: Study, tmp_path: Path):
    folder = _copy(study("population"), tmp_path)
    before = write_report(folder).read_bytes()
    for name in OPTIONAL:
        pd.DataFrame().to_parquet(folder / f"{name}.parquet")
    assert write_report(folder).read_bytes() == before


def test_without_optional_tables_their_sections_are_not_there(study: Study):
    text = write_report(study("population")).read_text(encoding="utf-8")
    for section in ("prediction", "transfer"):
        assert f'id="{section}"' not in text
        assert f'href="#{section}"' not in text


def test_damaged_and_foreign_tables_are_named(study: Study, tmp_path: Path):
    folder = _copy(study("transfer"), tmp_path)
    (folder / "similarity.parquet").write_bytes(b"PAR1 damaged")
    with pytest.raises(InputError, match=r"similarity\.parquet: cannot be read"):
        write_report(folder)
    pd.DataFrame({"encoder_a": ["a"]}).to_parquet(folder / "similarity.parquet")
    with pytest.raises(InputError, match="missing encoder_b, images, measure, value"):
        write_report(folder)


@pytest.mark.slow
def test_scores_without_numbers_leave_no_figure(study: Study, tmp_path: Path):
    folder = _copy(study("transfer"), tmp_path)
    for name, column in (("transfer", "value"), ("prediction", "r2"), ("similarity", "value")):
        frame = pd.read_parquet(folder / f"{name}.parquet")
        frame.assign(**{column: np.nan}).to_parquet(folder / f"{name}.parquet")
    text = write_report(folder).read_text(encoding="utf-8")
    assert not _figures(text) & {"probes", "prediction_scores", "similarity"}
    assert "do not beat the baselines" not in text
    assert "beyond chance on 0 of 5 tasks" in text


@pytest.mark.slow
def test_downloads_are_links_beside_the_page_and_small_copies_within(study: Study, tmp_path: Path):
    folder = _copy(study("transfer"), tmp_path)
    (folder / "features.csv").unlink()
    result = {entry.name: entry for entry in find_downloads(folder)}
    assert result["clusters"].files == (("CSV", "clusters.csv"), ("Parquet", "clusters.parquet"))
    assert result["features"].files == (("Parquet", "features.parquet"),)
    assert result["features"].copy == result["points"].copy == ""
    assert unpack(result["clusters"].copy) == (folder / "clusters.csv").read_text()
    text = write_report(folder).read_text(encoding="utf-8")
    assert '<a href="points.parquet" download>Parquet</a>' in text
    assert 'href="features.csv"' not in text


@pytest.mark.nightly
def test_twenty_five_encoders_on_five_targets_stay_small(page_of: Study):
    assert page_of("twenty-five").stat().st_size < 4e6


def _figures(text: str) -> set[str]:
    return {part.split('"')[0] for part in text.split('data-figure="')[1:]}


def _copy(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target, dirs_exist_ok=True))
