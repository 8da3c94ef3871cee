"""The tables of a run, to compare runs byte by byte."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

TABLES = ("points", "groups", "summary", "models")


def table_bytes(out: Path) -> dict[str, bytes]:
    """Every table in both formats."""
    return {f"{n}{s}": (out / f"{n}{s}").read_bytes() for n in TABLES for s in (".parquet", ".csv")}


def assert_same_but(out: Path, whole: Path, **left_out: str) -> None:
    """The tables are those of ``whole`` without the rows that have the given values."""
    for name in ("points", "groups", "summary"):
        expected = pd.read_parquet(whole / f"{name}.parquet")
        missing = pd.concat([expected[c] == v for c, v in left_out.items()], axis=1).all(axis=1)
        assert missing.any()
        pd.testing.assert_frame_equal(
            pd.read_parquet(out / f"{name}.parquet"),
            expected[~missing].reset_index(drop=True),
            check_dtype=False,
        )
