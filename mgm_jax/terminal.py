"""Tables that the commands print."""

from __future__ import annotations

from math import isnan
from pathlib import Path
from typing import Any

from mgm_jax.errors import InputError
from mgm_jax.seals import check_sum

#: Columns of a screen that holds the summary with its intervals.
_WIDE = 150

#: Rows of a summary that people read through.
_MOST_ROWS = 60


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
    """Print means of the key metrics, a row a cell; with intervals where the screen is wide.

    Of many cells the first are shown, and how many there are besides.
    """
    import pandas as pd

    from mgm_jax.report.data.tables import features_alone

    summary = pd.read_parquet(out / "summary.parquet")
    summary = features_alone(summary, summary=summary, models=read_models(out))
    shown = {
        "nnk_degree": "degree",
        "nnk_diameter": "diameter",
        "nnk_affinity": "affinity",
        "nnk_affinity_excess": "excess",
        "pca_dimension": "PCA dim.",
    }
    picked = summary[summary["metric"].isin(shown)]
    keys = ["encoder", "images", "setting", "strength", "tap"]
    rows = []
    # Intervals need a wide screen; a narrow one shows the means, the tables have the rest.
    wide = _console().width >= _WIDE
    several = len(set(summary["images"])) > 1
    for _, cell in picked.groupby(keys, sort=False):
        encoder, images, setting, strength = next(
            zip(*(cell[key] for key in keys[:4]), strict=True)
        )
        block = cell.set_index("metric")
        values = [
            _value(*block.loc[metric, ["mean", "low", "high"]], wide=wide) for metric in shown
        ]
        at = setting if setting == "semantic" else f"{setting}@{strength:g}"
        rows.append((str(encoder), *([str(images)] if several else []), at, *values))
    header = ("encoder", *(["images"] if several else []), "setting", *shown.values())
    print_table(header, rows[:_MOST_ROWS])
    if len(rows) > _MOST_ROWS:
        print(f"and {len(rows) - _MOST_ROWS} more rows in {out / 'summary.csv'}")


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
    for place, name in enumerate(header):
        table.add_column(name, overflow="fold", no_wrap=place == 0)
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
