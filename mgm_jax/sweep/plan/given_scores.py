"""Scores of transfer that a study brings in a table, instead of probes that it runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mgm_jax.analysis.transfer.published import unclaimed
from mgm_jax.analysis.transfer.published_tasks import PUBLISHED_SCORES, published_tasks
from mgm_jax.errors import InputError, name_some
from mgm_jax.files.text_table import read_text_table

#: Kind of these rows in the table ``transfer``, beside ``probe`` and ``score``.
GIVEN = "given"


def find_scores(where: str, *, base: Path, models: Sequence[str]) -> pd.DataFrame:
    """Scores ``[models, tasks]`` that a study names: of a file, or the published ones.

    Args:
        where: path of a file, or ``published:ericsson2021`` for published scores of 14 ResNet-50.
        base: folder that relative paths start from.
        models: names in the study.

    Raises:
        InputError: as :func:`read_scores`, or no published scores of that name or of these models.
    """
    if not where.startswith("published:"):
        return read_scores(base / where, models=models)
    if where != PUBLISHED_SCORES:
        raise InputError(
            f"transfer: scores: no published scores are called {where!r}; there are "
            f"{PUBLISHED_SCORES}."
        )
    scores = published_tasks(models=unclaimed(models))
    if scores.empty:
        raise InputError(
            f"transfer: scores: {where} has scores of "
            f"{name_some(published_tasks().index, most=14)}, and the study's encoders are none of "
            f"them: {name_some(models)}. Name encoders as they are published, or leave scores out."
        )
    return scores


def read_scores(path: Path, *, models: Sequence[str]) -> pd.DataFrame:
    """Scores ``[models, tasks]`` of a file, the rows of the study's models.

    Args:
        path: ``.csv`` or ``.parquet``: the name of the model in the first column, a column a task.
        models: names in the study; others in the file are left out.

    Raises:
        InputError: no such file, columns that are no numbers, a model twice, or none of them.
    """
    if not path.is_file() or path.suffix.lower() not in (".csv", ".parquet"):
        raise InputError(f"transfer: scores must be a .csv or .parquet file; {path} is none.")
    try:
        table = _texts(path) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except (ValueError, OSError) as error:
        raise InputError(f"transfer: scores: {path} cannot be read ({error}).") from error
    if not isinstance(table.index, pd.RangeIndex):
        table = table.reset_index()
    names = table.iloc[:, 0].astype(str) if table.shape[1] else pd.Series(dtype=str)
    values = table.iloc[:, 1:]
    texts = [str(name) for name in values if not pd.api.types.is_numeric_dtype(values[name])]
    if values.shape[1] == 0 or texts:
        raise InputError(
            f"transfer: scores: {path} must have the model in its first column and numbers in the "
            f"others; {name_some(texts) or 'there are no others'}."
        )
    if values.shape[1] and all(_is_number(name) for name in values):
        raise InputError(
            f"transfer: scores: {path} must name its tasks in the first line; that holds numbers "
            f"({name_some(values)}), as if it were a model's. Put a line such as model,task before "
            "it."
        )
    if names.duplicated().any():
        raise InputError(
            f"transfer: scores: {path} must have each model once; more than once: "
            f"{name_some(names[names.duplicated()])}."
        )
    values = values.set_axis(pd.Index(names), axis=0).astype(float)
    known = [name for name in models if name in values.index]
    if not known:
        raise InputError(
            f"transfer: scores: {path} must name models of the study ({name_some(models)}); it has "
            f"{name_some(names)}."
        )
    return values.loc[known]


def _is_number(name: Any) -> bool:
    try:
        float(str(name))
    except ValueError:
        return False
    return True


def _texts(path: Path) -> pd.DataFrame:
    """A table whose first column are names, whatever these look like: 007, 1e5, NA."""
    columns = read_text_table(path, where=f"transfer: scores: {path}")
    table = pd.DataFrame(columns, dtype=object)
    for name in table.columns[1:]:
        values = table[name].str.strip().replace("", np.nan)
        try:
            table[name] = pd.to_numeric(values.mask(values.isin(("NA", "NaN", "nan"))))
        except ValueError:
            continue
    return table


def given_rows(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the table ``transfer``, a row a model and task, those without a value left out."""
    same = {"kind": GIVEN, "measure": GIVEN, "metric": "score"}
    return [
        {"encoder": model, "images": str(task), **same, "value": value}
        for task in scores
        for model, value in scores[task].dropna().items()
    ]
