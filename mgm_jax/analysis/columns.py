"""Tables with one row a model: are they usable, and which of their columns?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mgm_jax.errors import InputError, name_some

#: Columns that say how a measurement went or what it was made of, no property of the model.
DIAGNOSTICS = frozenset(
    {
        "nnk_residual",
        "nnk_kkt",
        "nnk_affinity_null",
        "k_effective",
        "saturated",
        "duplicates",
        "degenerate",
        "width",
        "seed",
        "groups",
        "points",
        "left_out",
    }
)
_DIAGNOSTIC_ENDS = ("_kkt", "_residual", "_residuals", "_share", "_width", "_low", "_high")
_WHY_DIAGNOSTIC = "a diagnostic, no property of the model"

# Spread of a column, relative to its largest entry, below which it counts as constant.
_CONSTANT = 64 * np.finfo(np.float64).eps
# Spread, in units of 1 or of the largest entry of a table of smaller ones, below which a column
# holds what rounding left of zeros: metrics are sums of thousands of terms of about 1.
_NOISE = 2.0**-40
# Spreads of which float64 holds the squares.
_SQUARABLE = (1e-150, 1e150)


def as_table(metrics: Any, *, name: str) -> pd.DataFrame:
    """A table of models; a series is a table of one column.

    Raises:
        InputError: neither a data frame nor a series.
    """
    if isinstance(metrics, pd.Series):
        return metrics.to_frame("value" if metrics.name is None else metrics.name)
    if not isinstance(metrics, pd.DataFrame):
        raise InputError(
            f"{name} must be a data frame of pandas with one row a model, or a series with one "
            f"value a model; got {type(metrics).__name__}."
        )
    # Frames that were filled row by row hold numbers as objects.
    return metrics.infer_objects()


def check_models(metrics: pd.DataFrame, *, name: str) -> tuple[str, ...]:
    """Names of the models of a table, one a row, all columns numbers.

    Raises:
        InputError: no row, a name given twice, or a column of text.
    """
    models = tuple(str(model) for model in metrics.index)
    if not models:
        raise InputError(f"{name}: expected at least one row (one a model), got none.")
    twice = sorted({model for model in models if models.count(model) > 1})
    if twice:
        raise InputError(
            f"{name}: the index must name each model once; given twice: {name_some(twice)}."
        )
    columns = [str(column) for column in metrics.columns]
    repeated = sorted({one for one in columns if columns.count(one) > 1})
    if repeated:
        # Of several of one name only the last would be looked at.
        raise InputError(
            f"{name}: each column must have a name of its own; given twice: {name_some(repeated)}."
        )
    textual = [
        str(column)
        for column, kind in metrics.dtypes.items()
        if not pd.api.types.is_numeric_dtype(kind)
    ]
    if textual:
        raise InputError(
            f"{name}: expected numeric columns, got text in {name_some(textual)}. "
            "Drop these columns or move the model names into the index."
        )
    return models


def is_diagnostic(column: str) -> bool:
    """Whether a column, ``metric`` or ``setting.metric``, is a diagnostic.

    >>> [is_diagnostic(name) for name in ("crop.nnk_kkt", "width", "crop.nnk_degree")]
    [True, True, False]
    """
    metric = column.rpartition(".")[2]
    return metric in DIAGNOSTICS or metric.endswith(_DIAGNOSTIC_ENDS)


def usable_columns(
    metrics: pd.DataFrame, *, diagnostics: bool = True
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Columns finite for every model that differ between models; the others with the reason.

    Args:
        metrics: one row a model.
        diagnostics: whether :func:`is_diagnostic` columns may enter.
    """
    usable: list[str] = []
    left_out: dict[str, str] = {}
    columns = {str(name): _numbers(column) for name, column in metrics.items()}
    sizes = [np.abs(values[np.isfinite(values)]).max(initial=0) for values in columns.values()]
    unit = min(1.0, max(sizes, default=0.0))
    for name, values in columns.items():
        missing = ~np.isfinite(values)
        if not diagnostics and is_diagnostic(name):
            left_out[name] = _WHY_DIAGNOSTIC
        elif missing.any():
            models = name_some(metrics.index[missing], most=3)
            left_out[name] = f"missing for {models}"
        elif np.ptp(values) <= _CONSTANT * np.abs(values).max():
            left_out[name] = "constant"
        elif np.ptp(values) <= _NOISE * unit:
            left_out[name] = f"rounding noise (all within {np.ptp(values):.1g})"
        elif not _SQUARABLE[0] < np.ptp(values) < _SQUARABLE[1]:
            left_out[name] = f"spread by {np.ptp(values):.1g}, which has no square; rescale it"
        else:
            usable.append(name)
    return tuple(usable), left_out


def some_column(usable: tuple[str, ...], left_out: dict[str, str]) -> None:
    """Raise InputError where no column is usable, with the reasons."""
    if usable:
        return
    reasons = name_some(f"{column}: {why}" for column, why in left_out.items())
    also = (
        " Pass diagnostics=True to use diagnostics all the same."
        if _WHY_DIAGNOSTIC in left_out.values()
        else ""
    )
    raise InputError(
        "metrics: no column is finite for every model and differs between models "
        f"({reasons}). Give at least one such column.{also}"
    )


def _numbers(column: pd.Series) -> np.ndarray:
    """Values as float64, missing ones of nullable types as NaN."""
    return column.to_numpy(np.float64, na_value=np.nan)
