"""Which strength of an augmentation stands for its setting."""

from __future__ import annotations

import pandas as pd


def at_reference_strength(table: pd.DataFrame) -> pd.DataFrame:
    """Rows at strength 1, or, for a setting that was not run at 1, at its largest strength."""
    reference = {
        setting: 1.0 if 1.0 in set(rows["strength"]) else rows["strength"].max()
        for setting, rows in table.groupby("setting")
    }
    return table.loc[table["strength"] == [reference[setting] for setting in table["setting"]]]


def setting_heading(setting: str, rows: pd.DataFrame) -> str:
    """Name of a setting, with its strength where that is not 1; ``semantic`` has none."""
    strengths = set(rows.loc[rows["setting"] == setting, "strength"])
    if setting == "semantic" or len(strengths) != 1 or strengths == {1.0}:
        return setting
    return f"{setting} × {strengths.pop():g}"
