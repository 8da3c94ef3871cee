"""Metrics of models as other manifolds would have given them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mgm_jax.errors import InputError, name_some

#: Columns of the table ``groups`` that hold no metric.
HEAD_COLUMNS = ("encoder", "images", "setting", "strength", "tap", "group")


@dataclass(frozen=True, kw_only=True)
class ManifoldDraws:
    """Means over manifolds, ready to be drawn again.

    Attributes:
        metrics: the table whose columns are replaced, one row a model.
        columns: for each condition, the columns of ``metrics`` that its manifolds give.
        values: for each condition, ``[n, g, c]``: models, manifolds, columns; NaN where undefined.
    """

    metrics: pd.DataFrame
    columns: tuple[tuple[str, ...], ...]
    values: tuple[np.ndarray, ...]

    @classmethod
    def make(cls, manifolds: pd.DataFrame, metrics: pd.DataFrame) -> ManifoldDraws:
        """Find the manifolds that all models share, condition by condition.

        Raises:
            InputError: a column is missing, a model has no manifolds, or one of them twice.
        """
        needed = {"encoder", "setting", "strength", "group"}
        missing = needed - set(manifolds.columns)
        if missing:
            raise InputError(f"manifolds: missing the column(s) {name_some(sorted(missing))}.")
        absent = sorted(set(metrics.index) - set(manifolds["encoder"]))
        if absent:
            raise InputError(f"manifolds: no rows for the model(s) {name_some(absent)}.")
        columns, values = [], []
        by_condition: Any = manifolds.groupby(["setting", "strength"], sort=False)
        for (setting, strength), block in by_condition:
            condition = condition_name(str(setting), float(strength))
            names = {
                f"{condition}.{metric}": metric
                for metric in block.columns
                if metric not in HEAD_COLUMNS and f"{condition}.{metric}" in metrics
            }
            if not names:
                continue
            if block.duplicated(["encoder", "group"]).any():
                raise InputError(
                    f"manifolds: a model has a manifold twice under {condition}; give the rows of "
                    "one image set and one tap."
                )
            wide = block.pivot(index="encoder", columns="group", values=list(names.values()))
            cube = [
                wide[metric].reindex(metrics.index).to_numpy(float) for metric in names.values()
            ]
            columns.append(tuple(names))
            values.append(np.stack(cube, axis=-1))
        return cls(metrics=metrics, columns=tuple(columns), values=tuple(values))

    def draw(self, generator: np.random.Generator) -> pd.DataFrame:
        """The metrics with the means over a bootstrap sample of the manifolds."""
        drawn = self.metrics.copy()
        for names, values in zip(self.columns, self.values, strict=True):
            picked = values[:, generator.integers(0, values.shape[1], values.shape[1])]
            known = np.isfinite(picked)
            count = known.sum(1)
            total = np.where(known, picked, 0.0).sum(1)
            drawn[list(names)] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return drawn


def condition_name(setting: str, strength: float) -> str:
    """Setting and strength as the columns of the table ``models`` have them.

    >>> condition_name("crop", 1.0), condition_name("crop", 0.5), condition_name("semantic", 0.0)
    ('crop', 'crop@0.5', 'semantic')
    """
    return setting if setting == "semantic" or strength == 1.0 else f"{setting}@{strength:g}"
