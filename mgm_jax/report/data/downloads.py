"""Links to the tables: the files beside the page, and small tables within the page itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mgm_jax.report.data.packing import pack

_TABLES = {
    "summary": "means with intervals: a row an encoder, setting and metric",
    "models": "every metric side by side: a row an encoder",
    "groups": "means of every manifold: a row a class, or an image's views",
    "points": "every metric of every point: a row a view or image",
    "layers": "metrics along the depth: a row an encoder, layer and metric",
    "transfer": "probes and scores: a row an encoder, target and measure",
    "prediction": "how well transfer is predicted: a row a task and set of predictors",
    "predictions": "measured and predicted scores: a row a task and model",
    "features": "coefficients with their stability: a row a task and feature",
    "clusters": "groups of encoders and their order along the tree",
    "cluster_agreement": "agreement of the groups with what is known of the encoders",
    "cluster_tree": "merges of the tree, as SciPy writes them",
    "similarity": "mutual k-NN and CKA: a row a pair of encoders",
}
# Bytes of a CSV file up to which it is kept in the page.
_SMALL = 48_000


@dataclass(frozen=True, kw_only=True)
class Download:
    """One table.

    Attributes:
        name: its name.
        describes: what a row is.
        rows: number of rows.
        files: pairs of suffix and file name of what lies beside the page.
        copy: the CSV file, packed, where that is small; empty otherwise.
    """

    name: str
    describes: str
    rows: int
    files: tuple[tuple[str, str], ...]
    copy: str


def find_downloads(folder: Path | None) -> list[Download]:
    """The tables that lie in a folder, in reading order."""
    if folder is None:
        return []
    tables = []
    for name, describes in _TABLES.items():
        parquet, text = folder / f"{name}.parquet", folder / f"{name}.csv"
        rows = _rows(parquet)
        if rows is None:
            continue
        files = [("Parquet", parquet.name)]
        if text.is_file():
            files.insert(0, ("CSV", text.name))
        tables.append(
            Download(
                name=name,
                describes=describes,
                rows=rows,
                files=tuple(files),
                copy=_copy(text),
            )
        )
    return tables


def _rows(path: Path) -> int | None:
    """Number of rows; None where there is no such table, or an empty or damaged one."""
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        return parquet.read_metadata(path).num_rows or None
    except (arrow.ArrowException, OSError):
        return None


def _copy(path: Path) -> str:
    if not path.is_file() or path.stat().st_size > _SMALL:
        return ""
    return pack(path.read_bytes())
