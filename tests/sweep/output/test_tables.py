"""Tables as other programs read them."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

from mgm_jax.sweep.output.tables import write_table

#: What a spreadsheet takes for a formula: https://owasp.org/www-community/attacks/CSV_Injection.
FORMULAS = ("=1+1", "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1")


def test_no_cell_of_a_csv_is_a_formula_and_parquet_keeps_the_names(tmp_path: Path) -> None:
    names = [*FORMULAS, "a=b", "x-y", "'quoted", 'with "quotes", and a comma', "ü"]
    table = pd.DataFrame({"encoder": names, "value": [-0.5] * len(names)})
    write_table(table, tmp_path / "t")
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert head == ["encoder", "value"]
    assert [row[0] for row in rows] == [f"'{name}" for name in FORMULAS] + names[len(FORMULAS) :]
    # Numbers stay numbers.
    assert {row[1] for row in rows} == {"-0.5"}
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), table, check_dtype=False)
