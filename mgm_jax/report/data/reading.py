"""Parquet tables of a study: read with their columns checked, errors that name the file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mgm_jax.errors import InputError, name_some
from mgm_jax.files.seals import check_sum


def read_table(
    path: Path, columns: tuple[str, ...], *, only: tuple[str, ...] | None = None
) -> pd.DataFrame:
    """Read a table that must be there, must hold ``columns`` and must have rows.

    Args:
        path: the Parquet file.
        columns: columns that it must have.
        only: the columns to read, where the file has them; None reads all.

    Raises:
        InputError: the file is missing, empty, damaged, or lacks columns.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: the table is missing. Finish the study with `mgm run` before its report."
        )
    check_sum(path)
    frame = _read(path, columns, only=only)
    if frame.empty:
        raise InputError(f"{path}: the table has no rows, so there is nothing to report.")
    return frame


def read_optional_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read a table that may be missing or empty; then the result has ``columns`` and no rows.

    Raises:
        InputError: the file is damaged, or has rows and lacks columns.
    """
    nothing = pd.DataFrame({name: pd.Series(dtype=object) for name in columns})
    if path.is_file():
        check_sum(path)
    if not path.is_file() or not _rows(path):
        return nothing
    return _read(path, columns)


def _rows(path: Path) -> int:
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        return parquet.read_metadata(path).num_rows
    except (arrow.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _read(
    path: Path, columns: tuple[str, ...], *, only: tuple[str, ...] | None = None
) -> pd.DataFrame:
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        known = parquet.read_schema(path).names
        missing = [name for name in columns if name not in known]
        if missing:
            raise InputError(
                f"{path}: expected the columns {', '.join(columns)}; missing "
                f"{name_some(missing)}. Run the study again with this version."
            )
        wanted = [name for name in known if only is None or name in only]
        return parquet.read_table(path, columns=wanted).to_pandas()
    except (arrow.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: cannot be read as a Parquet table ({error}). Delete it and run again."
    )
