"""The tables of a study, put together from the records of its cells.

=========  =====================================================================================
points     a row a point: what was measured, on which view of which image
groups     a row a manifold (a class, or one image's views): means of its points
summary    a row a cell and metric: mean, spread, quartiles, bootstrap interval over manifolds
models     a row an encoder, image set and tap: every metric a column, for clustering and models;
           ``augs.lidar`` and the like are of all views of a setting together
=========  =====================================================================================

Each is written as Parquet and as CSV, whole or not at all. Cells are read one after the other, so
memory does not grow with their number except for the small tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq

from mgm_jax.analysis.clusters.manifold_draws import condition_name
from mgm_jax.errors import name_some
from mgm_jax.files.seals import DamagedError
from mgm_jax.files.whole import whole_file
from mgm_jax.metrics import METRIC_COLUMNS, means_and_summary
from mgm_jax.study import Study
from mgm_jax.sweep.measures.directions import LEFT_OUT, lost_directions
from mgm_jax.sweep.measures.measure import MIN_POINTS, SMALL, VIEWS, Reference
from mgm_jax.sweep.output.faults import own_files
from mgm_jax.sweep.output.records import read_table_record
from mgm_jax.sweep.plan.cells import Cell, Failure

#: Columns that say which cell a row belongs to.
CELL_COLUMNS = ("encoder", "images", "setting", "strength", "tap")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A cell with the file of its per-point records."""

    cell: Cell
    records: Path


def cell_columns(cell: Cell) -> dict[str, object]:
    """The values of :data:`CELL_COLUMNS` for one cell."""
    return {
        "encoder": cell.subject.name,
        "images": cell.images.name,
        "setting": cell.setting,
        "strength": cell.strength,
        "tap": cell.tap,
    }


@dataclass(frozen=True, kw_only=True)
class Written:
    """What the records say that the tables do not.

    Attributes:
        small: of every image set with manifolds that are too small, how many points were left
            out, in words.
        left_out: the images that encoders gave no direction to.
    """

    small: tuple[str, ...] = ()
    left_out: tuple[Failure, ...] = ()


def write_tables(
    measured: Iterable[Measured],
    references: Iterable[tuple[Cell, Reference]],
    *,
    study: Study,
    out: Path,
    measure_again: Callable[[Measured], None],
) -> Written:
    """Write ``points``, ``groups``, ``summary`` and ``models`` below ``out``.

    Args:
        measured: cells with records.
        references: of every cell without augmentation.
        study: gives the seed and the options of intervals.
        out: folder of the tables.
        measure_again: makes the record of a cell whose file is damaged anew.
    """
    groups, summaries, views = [], [], []
    small: dict[str, str] = {}
    left_out: dict[Failure, None] = {}
    with _TableWriter(out / "points") as points:
        for item in measured:
            with own_files(out):
                try:
                    table = read_table_record(item.records)
                except DamagedError:
                    measure_again(item)
                    table = read_table_record(item.records)
            lost = lost_directions(item.cell, table.attrs.get(LEFT_OUT, ()))
            left_out |= dict.fromkeys(lost)
            points.append(_with_cell(table, item.cell))
            metrics = [name for name in METRIC_COLUMNS if name in table]
            values = {name: table[name].to_numpy() for name in metrics}
            of_groups, summary = means_and_summary(
                values,
                table["group"].to_numpy(),
                resamples=study.metrics.resamples,
                seed=study.seed,
                level=study.metrics.level,
            )
            groups.append(_with_cell(of_groups.reset_index(), item.cell))
            summary = _of_cell(summary.reset_index(), item.cell)
            too_small = table.attrs.get(SMALL)
            if too_small is not None:
                # Their points have no value of any metric.
                summary["left_out"] += too_small["points"]
                small[item.cell.images.name] = _small_manifolds(too_small)
            summaries.append(summary)
            views.append((item.cell, table.attrs.get(VIEWS, {})))
    of_groups = pd.concat(groups, ignore_index=True) if groups else _empty(CELL_COLUMNS)
    summary = pd.concat(summaries, ignore_index=True) if summaries else pd.DataFrame()
    write_table(of_groups, out / "groups")
    write_table(summary, out / "summary")
    write_table(_models(summary, views, list(references)), out / "models")
    return Written(
        small=tuple(f"{images}: {what}" for images, what in small.items()),
        left_out=tuple(left_out),
    )


def _small_manifolds(left: dict[str, Any]) -> str:
    """What was left out of one image set, in words."""
    names = left["groups"]
    return (
        f"{left['points']} points left out, of {len(names)} manifolds with fewer than "
        f"{MIN_POINTS} points ({name_some(names, most=3)})"
    )


def _empty(columns: Sequence[str]) -> pd.DataFrame:
    """A table without rows."""
    return pd.DataFrame({name: pd.Series(dtype=object) for name in columns})


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write ``path``.parquet and ``path``.csv."""
    with _TableWriter(path) as writer:
        writer.append(table)


class _TableWriter:
    """Appends data frames of one schema to a Parquet and a CSV file at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        self._parquet: pq.ParquetWriter | None = None

    def __enter__(self) -> _TableWriter:
        self._parts = [
            self._stack.enter_context(whole_file(self._path.with_name(self._path.name + suffix)))
            for suffix in (".parquet", ".csv")
        ]
        return self

    def append(self, table: pd.DataFrame) -> None:
        parquet, text = self._parts
        content = pa.Table.from_pandas(table, preserve_index=False)
        first = self._parquet is None
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(parquet, content.schema)
        content = content.cast(self._parquet.schema)
        self._parquet.write_table(content)
        options = csv.WriteOptions(include_header=first, quoting_style="needed")
        with text.open("wb" if first else "ab") as file:
            # Ten times as fast as pandas, which matters at a row a view.
            csv.write_csv(_harmless(content), file, options)

    def __exit__(self, *error: object) -> None:
        if self._parquet is None and error[0] is None:
            self.append(pd.DataFrame())
        if self._parquet is not None:
            self._parquet.close()
        self._stack.__exit__(*error)  # type: ignore[arg-type]


# The functions of this module are made when it is loaded, and unknown to those who only read it.
_compute: Any = pc

# What a spreadsheet takes for the beginning of a formula, and would run.
_FORMULA = r"^([=+\-@\t\r])"


def _harmless(table: pa.Table) -> pa.Table:
    """The table with an apostrophe before every text that a spreadsheet would run."""
    for index, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            text = table.column(index)
            marked = _compute.replace_substring_regex(text, _FORMULA, r"'\1")
            table = table.set_column(index, field, marked)
    return table


def _with_cell(table: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    columns = cell_columns(cell)
    return pd.concat([pd.DataFrame(columns, index=table.index), table], axis=1)


def _of_cell(summary: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    """The summary of a cell behind columns that say what was measured."""
    head = {
        **cell.subject.columns,
        "images": cell.images.name,
        "setting": cell.setting,
        "strength": cell.strength,
        "tap": cell.tap,
        # 0 the first layer of the encoder, 1 its last; missing where the tap is no layer.
        "depth": cell.subject.encoder.spec.relative_depth(cell.tap),
    }
    return pd.concat([pd.DataFrame(head, index=summary.index), summary], axis=1)


def _models(
    summary: pd.DataFrame,
    views: list[tuple[Cell, dict[str, float]]],
    references: list[tuple[Cell, Reference]],
) -> pd.DataFrame:
    """One row an encoder, image set and tap; the columns of each setting side by side."""
    rows = []
    for cell, reference in references:
        subject = cell.subject
        row: dict[str, object] = {
            **subject.columns,
            "seed": subject.seed,
            "images": cell.images.name,
            "tap": cell.tap,
            "width": cell.manifest.width,
        }
        if len(summary):
            own = summary.loc[
                (summary["encoder"] == subject.name)
                & (summary["images"] == cell.images.name)
                & (summary["tap"] == cell.tap)
            ]
            row |= dict(_settings_side_by_side(own))
        for other, values in views:
            if _encoder_columns(other) == _encoder_columns(cell):
                prefix = condition_name(other.setting, other.strength)
                row |= {f"{prefix}.{metric}": value for metric, value in values.items()}
        rows.append(row | reference.panel)
    table = pd.DataFrame(rows)
    if "seed" in table:
        table["seed"] = table["seed"].astype("Int64")
    return table


def _settings_side_by_side(own: pd.DataFrame) -> Iterator[tuple[str, float]]:
    lines = zip(own["setting"], own["strength"], own["metric"], own["mean"], strict=True)
    for setting, strength, metric, mean in lines:
        yield f"{condition_name(setting, strength)}.{metric}", mean


def _encoder_columns(cell: Cell) -> tuple[str, str, str]:
    """What tells a row of ``models`` from another."""
    return cell.subject.name, cell.images.name, cell.tap
