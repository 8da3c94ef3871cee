"""Finding the kind of a table of images, or of shards of one, by path or pattern."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mgm_jax.errors import InputError
from mgm_jax.images.decode.formats import TAR_SUFFIXES
from mgm_jax.images.decode.regular_file import kind_of
from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.sources.files.names import visible
from mgm_jax.images.sources.options import SourceOptions
from mgm_jax.images.sources.tables.shards import (
    files_below,
    folder_of_shards,
    is_pattern,
    shard_files,
)

#: What the place of a webdataset may begin with.
WDS_PREFIX = "wds:"

#: Suffixes of files that one table lies in alone, and of tables that are cut into several.
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".arrow", ".h5", ".hdf5", ".hdf")
SHARD_SUFFIXES = (*TAR_SUFFIXES, ".parquet", ".arrow")


def open_table(text: str, options: SourceOptions) -> Callable[[], ImageSource] | None:
    """What opens a table of images or its shards; None where the place is none.

    Args:
        text: a file, a folder, a pattern, or ``wds:`` and one of these.
        options: how it is read.

    Raises:
        InputError: a pattern that stands for no files, or for files of several kinds.
    """
    is_wds = text.startswith(WDS_PREFIX)
    path = Path(text.removeprefix(WDS_PREFIX)).expanduser()
    files, suffix, where = _files(path, is_wds)
    if suffix is None:
        return None
    named = options.called(_title(path, suffix))

    def opened() -> ImageSource:
        if suffix == ".saved":
            from mgm_jax.images.sources.tables.arrow import saved_data_set_source

            return saved_data_set_source(path, named)
        if len(files) == 1 and suffix in (".csv", ".tsv", ".manifest", ".h5", ".hdf5", ".hdf"):
            from mgm_jax.images.sources.tables.hdf5 import hdf5_source
            from mgm_jax.images.sources.tables.manifest import manifest_source

            opener = hdf5_source if suffix.startswith(".h") else manifest_source
            return opener(files[0], named)
        from mgm_jax.images.sources.files.webdataset import webdataset_source
        from mgm_jax.images.sources.tables.arrow import arrow_source
        from mgm_jax.images.sources.tables.parquet import parquet_source

        of_shards = {".parquet": parquet_source, ".arrow": arrow_source}
        return of_shards.get(suffix or "", webdataset_source)(files, named, where=where)

    return opened


def _files(path: Path, is_wds: bool) -> tuple[Sequence[Path], str | None, str]:
    """Files of a table, what kind they are, and what to call them; None for no table."""
    from mgm_jax.images.sources.files.webdataset import is_webdataset
    from mgm_jax.images.sources.tables.arrow import is_saved_data_set

    where = visible(str(path))
    try:
        kind = kind_of(path.stat().st_mode)
    except (OSError, ValueError):
        if not is_pattern(str(path)) or not (is_wds or _shard_suffix(path)):
            return [], None, where
        files = shard_files(str(path))
        suffixes = {_shard_suffix(file) for file in files}
        if len(suffixes) > 1 or None in suffixes or (is_wds and suffixes != {".tar"}):
            raise InputError(
                f"{where} must stand for files of one kind, {', '.join(SHARD_SUFFIXES)}."
            ) from None
        return files, suffixes.pop(), where
    if kind == "a folder":
        if not is_wds and is_saved_data_set(path):
            return [], ".saved", where
        suffix = ".tar" if is_wds else folder_of_shards(path)
        if suffix is None:
            return [], None, where
        endings = TAR_SUFFIXES if suffix == ".tar" else (suffix,)
        files = sorted({file for one in endings for file in files_below(path, one)})
        if not files:
            raise InputError(f"{where} holds no shards ({', '.join(TAR_SUFFIXES)}).")
        return files, suffix, where
    if kind is not None:
        return [], None, where
    suffix = _shard_suffix(path) or path.suffix.lower()
    if suffix == ".tar" and not is_wds and not is_webdataset(path):
        return [], None, where
    if suffix == ".parquet" and _is_manifest(path):
        suffix = ".manifest"
    return [path], suffix if suffix in (*TABLE_SUFFIXES, ".tar", ".manifest") else None, where


def _is_manifest(path: Path) -> bool:
    """Whether a Parquet file holds paths and no pictures."""
    from mgm_jax.images.sources.tables.parquet import parquet_schema
    from mgm_jax.images.sources.tables.rows import has_pictures

    return not has_pictures(parquet_schema(path))


def _shard_suffix(path: Path) -> str | None:
    name = path.name.lower()
    if name.endswith(TAR_SUFFIXES):
        return ".tar"
    return next((one for one in (".parquet", ".arrow") if name.endswith(one)), None)


def _title(path: Path, suffix: str | None) -> str:
    """What to call a table: its file's stem, or the folder of its shards."""
    name = path.name
    if is_pattern(name) and not path.exists():
        return visible(path.resolve().parent.name)
    if path.is_dir():
        return visible(path.resolve().name)
    ending = next(
        (
            one
            for one in sorted(TAR_SUFFIXES, key=len)[::-1]
            if suffix == ".tar" and name.lower().endswith(one)
        ),
        path.suffix,
    )
    return visible(name.removesuffix(name[len(name) - len(ending) :] if ending else ""))
