"""Tables with one row a model: are they usable, and which of their columns?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mgm_jax.errors import InputError, name_some

# Spread of a column, relative to its largest entry, below which rounding alone explains it.
_ROUNDING = 64 * np.finfo(np.float64).eps


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


def usable_columns(metrics: pd.DataFrame) -> tuple[tuple[str, ...], dict[str, str]]:
    """Columns finite for every model that differ between models; the others with the reason."""
    usable: list[str] = []
    left_out: dict[str, str] = {}
    for name, column in metrics.items():
        name, values = str(name), column.to_numpy(np.float64)
        missing = ~np.isfinite(values)
        if missing.any():
            models = name_some(metrics.index[missing], most=3)
            left_out[name] = f"missing for {models}"
        elif np.ptp(values) <= _ROUNDING * np.abs(values).max():
            left_out[name] = "constant"
        else:
            usable.append(name)
    return tuple(usable), left_out
