"""Tables of texts as spreadsheets write them, and as they arrive."""

from __future__ import annotations

from pathlib import Path

import pytest

from mgm_jax.errors import InputError
from mgm_jax.files.text_table import read_text_table

COLUMNS = {"path": ["ä/1.png", "b, c.png"], "label": ["007", ""]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("mark", "suffix"), [(",", ".csv"), (";", ".csv"), ("\t", ".tsv")])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_columns_are_those_that_were_written(
    encoding: str, mark: str, suffix: str, end: str, tmp_path: Path
) -> None:
    lines = [[" path", "label "], ["ä/1.png", "007"], [], ['"b, c.png"', ""]]
    path = tmp_path / f"table{suffix}"
    path.write_bytes("".join(mark.join(line) + end for line in lines).encode(encoding))
    assert read_text_table(path, where="x") == COLUMNS


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b\n1,2\n3\n", "x, line 3: expected 2 values, as in the head .* got 1"),
        (b"a,b\n1,2,3\n", "Put values with a ',' in quotes"),
        (b"a,b\n1,\0\n", "line 2: a byte of zero"),
        (b"a,a\n1,2\n", "distinct names"),
        (b"a,b\n", "and 0 rows"),
        ("a,b\n1,é\n".encode("latin-1"), "no UTF-8 .* Save it as UTF-8"),
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"PK\x03\x04\x80\xff", "The file is a zip archive"),
    ],
)
def test_what_is_no_table_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_text_table(path, where="x")


def test_rows_are_counted_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a\n" + "1\n" * 9)
    seen: list[int] = []
    read_text_table(path, where="x", check_rows=seen.append)
    assert seen == list(range(1, 10))
