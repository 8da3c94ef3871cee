# pyright: strict
"""Tables in text files, as spreadsheets and programs write them: columns of texts under names.

Read are UTF-8, with and without the mark that Excel puts before it, and UTF-16, with commas,
semicolons or tabs between values. A line of another length than the head is refused: it would
shift every value behind it.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from mgm_jax.errors import InputError, name_some
from mgm_jax.files.found_instead import found_instead, stands_for_another

TABLE_SUFFIXES = (".csv", ".tsv")
"""Suffixes of the files that are read here."""

_DELIMITERS = (",", ";", "\t")
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text_table(
    path: Path, *, where: str, check_rows: Callable[[int], None] | None = None
) -> dict[str, list[str]]:
    """Columns of a .csv or .tsv file, by name.

    Args:
        path: the file; its first line holds the names.
        where: what an error calls it.
        check_rows: called with the number of rows so far, to refuse too many.

    Returns:
        The texts of each column, ``[n]``; names without the blanks around them.

    Raises:
        InputError: it cannot be read, is no text, has no rows, names that repeat, or a line of
            another length.
    """
    try:
        with path.open("rb") as file:
            head = file.read(1024)
        if stands_for_another(head):
            raise InputError(f"{where} is no table.{found_instead(path)}")
        encoding = "utf-16" if head.startswith(_MARKS) else "utf-8-sig"
        with path.open(newline="", encoding=encoding) as file:
            first = file.readline()
        tabs = path.suffix.lower() == ".tsv"
        mark = "\t" if tabs else next((one for one in _DELIMITERS if one in first), ",")
        with path.open(newline="", encoding=encoding) as file:
            names, rows = _lines(file, mark, where, check_rows)
    except UnicodeError as error:
        raise InputError(
            f"{where} cannot be read as a table: it is no UTF-8 ({error}).{found_instead(path)} "
            "Save it as UTF-8."
        ) from error
    except (OSError, csv.Error) as error:
        raise InputError(f"{where} cannot be read as a table: {error}") from error
    if not rows or len(set(names)) < len(names):
        raise InputError(
            f"{where} must have a head of distinct names and rows below it; got "
            f"{name_some(names) or 'nothing'} and {len(rows)} rows."
        )
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _lines(
    file: TextIO, mark: str, where: str, check_rows: Callable[[int], None] | None
) -> tuple[list[str], list[list[str]]]:
    reader = csv.reader(file, delimiter=mark)
    names = [one.strip() for one in next(reader, list[str]())]
    rows: list[list[str]] = []
    for row in reader:
        if len(row) not in (0, len(names)):
            raise InputError(
                f"{where}, line {reader.line_num}: expected {len(names)} values, as in the "
                f"head ({name_some(names)}); got {len(row)}. Put values with a {mark!r} in quotes."
            )
        if any("\0" in one for one in row):
            raise InputError(f"{where}, line {reader.line_num}: a byte of zero is no text.")
        if row:
            rows.append(row)
            if check_rows is not None:
                check_rows(len(rows))
    return names, rows
