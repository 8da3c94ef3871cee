"""Records of cells on the disk: each carries a digest of its content, checked when it is read.

The digest is of the content, not of the bytes, so that it does not matter which version of a
library packed them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from mgm_jax.files.seals import DamagedError
from mgm_jax.files.whole import whole_file

# Among the ``attrs`` of a table, which Parquet files carry along.
_KEY = "sha256"


def write_table_record(path: Path, table: pd.DataFrame) -> None:
    """Write the per-point record of a cell; it is there whole or not at all."""
    sealed = table.copy(deep=False)
    sealed.attrs = dict(table.attrs)
    sealed.attrs[_KEY] = _digest(table)
    with whole_file(path) as part:
        sealed.to_parquet(part, index=False)


def read_table_record(path: Path) -> pd.DataFrame:
    """The per-point record of a cell.

    Raises:
        FileNotFoundError: there is none.
        DamagedError: it is damaged, or of a version that wrote no digest.
    """
    try:
        table = pd.read_parquet(path)
        total = table.attrs.pop(_KEY, None)
        fits = total == _digest(table)
    except FileNotFoundError:
        raise
    # Arrow raises many types for bytes that are no Parquet, some of them no errors of its own.
    except Exception as error:
        raise DamagedError(str(error)) from error
    if not fits:
        raise DamagedError("its content does not have the sha256 that stands in it")
    return table


def _digest(table: pd.DataFrame) -> str:
    attrs = {name: value for name, value in table.attrs.items() if name != _KEY}
    total = hashlib.sha256(json.dumps([list(table.columns), attrs], sort_keys=True).encode())
    for name in table.columns:
        values = table[name].to_numpy()
        if values.dtype == object:
            # Names and ids; JSON tells where one ends.
            total.update(json.dumps([str(value) for value in values]).encode())
        else:
            total.update(values.dtype.str.encode())
            total.update(np.ascontiguousarray(values).view(np.uint8).data)
    return total.hexdigest()
