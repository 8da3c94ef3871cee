"""What the commands print: tables, notes, failures."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any

import typer

from mgm_jax.errors import InputError
from mgm_jax.files.seals import check_sum

#: Columns of a screen that holds the summary with its intervals.
_WIDE = 150

#: Rows of a summary: what a screen shows together with the headline.
MAX_ROWS = 12

# Lines on image sets that are shown on the screen.
_MAX_NOTES = 12

#: Failures that are named on the screen.
_MAX_FAILURES = 5

_SHOWN = {
    "nnk_degree": "degree",
    "nnk_diameter": "diameter",
    "nnk_affinity": "affinity",
    "nnk_affinity_excess": "excess",
    "pca_dimension": "PCA dim.",
}


def read_models(results: Path) -> Any:
    """The table of models of finished results.

    Raises:
        InputError: there are none.
    """
    import pandas as pd

    file = results / "models.parquet"
    if not file.exists():
        raise InputError(f"{results}: no results of a study here (models.parquet is missing)")
    check_sum(file)
    try:
        return pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({error}); run the study again") from error


def print_summary(out: Path) -> None:
    """Print means of the key metrics, at most :data:`MAX_ROWS` rows; the rest is named.

    A row is a cell where there are few, else an encoder, on the first image set and setting. With
    intervals where the screen is wide.
    """
    import pandas as pd

    from mgm_jax.report.data.tables import features_alone

    summary = pd.read_parquet(out / "summary.parquet")
    summary = features_alone(summary, summary=summary, models=read_models(out))
    picked = summary[summary["metric"].isin(list(_SHOWN))]
    keys = ["encoder", "images", "setting", "strength", "tap"]
    cells: list[tuple[Any, Any]] = list(picked.groupby(keys, sort=False))
    shown = cells
    if len(cells) > MAX_ROWS:
        # The settings of one image set side by side would fill the screen with two encoders.
        (_, images, setting, strength, _), _ = cells[0]
        where = (images, setting, strength)
        shown = [(key, block) for key, block in cells if key[1:4] == where][:MAX_ROWS]
        print(f"{images}, {_setting_name(setting, strength)} manifolds")
    several = [len({key[index] for key, _ in shown}) > 1 for index in (1, 2, 3)]
    # Intervals need a wide screen; a narrow one shows the means, the tables have the rest.
    wide = _console().width >= _WIDE
    rows = []
    for (encoder, images, setting, strength, _), cell in shown:
        means = cell.set_index("metric")
        values = [
            _value(*means.loc[metric, ["mean", "low", "high"]], wide=wide) for metric in _SHOWN
        ]
        where = [str(images)] if several[0] else []
        if any(several[1:]):
            where.append(_setting_name(setting, strength))
        rows.append((str(encoder), *where, *values))
    header = [*(["images"] if several[0] else []), *(["setting"] if any(several[1:]) else [])]
    print_table(("encoder", *header, *_SHOWN.values()), rows)
    if len(cells) > len(shown):
        print(f"and {len(cells) - len(shown)} more rows in {out / 'summary.csv'}")


def _setting_name(setting: object, strength: float) -> str:
    return str(setting) if setting == "semantic" else f"{setting}@{strength:g}"


def _value(mean: float, low: float, high: float, *, wide: bool) -> str:
    """A mean, with its interval where there is room and one; a dash where it is not defined.

    >>> _value(0.5, 0.25, 1.0, wide=True), _value(float("nan"), 0.0, 0.0, wide=True)
    ('0.5 [0.25, 1]', '–')
    """
    if isnan(mean):
        return "–"
    return f"{mean:.3g}" + (f" [{low:.3g}, {high:.3g}]" if wide and not isnan(low) else "")


def print_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table; what is written in it is text, never markup."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for index, name in enumerate(header):
        table.add_column(name, overflow="fold", no_wrap=index == 0)
    for row in rows:
        # Text, not markup: a name may hold square brackets.
        table.add_row(*(Text(value) for value in row))
    _console().print(table)


def _console() -> Any:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        # A pipe has no width; nothing is cut there.
        console.width = 200
    return console


def say(text: str) -> None:
    """Tell something that is no result."""
    typer.echo(text, err=True)


def say_notes(notes: Sequence[str]) -> None:
    """Tell what was passed over in the image sets, and how their folders were understood."""
    for line in notes[:_MAX_NOTES]:
        say(line)
    if len(notes) > _MAX_NOTES:
        say(f"and {len(notes) - _MAX_NOTES} more of these in study.json and the report")


def say_failures(failures: Any) -> None:
    """Name what failed, the first few, and end with status 1."""
    if not failures:
        return
    for one in failures[:_MAX_FAILURES]:
        typer.echo(f"failed: {one.where}: {one.what}", err=True)
    typer.echo(
        f"{len(failures)} part(s) failed; `mgm status` and the report name all, "
        "--retry-failed tries them again",
        err=True,
    )
    raise typer.Exit(1)
