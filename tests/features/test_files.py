"""Features are read from every format as NumPy holds them, block by block, in any order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorstore as ts

from mgm_jax import InputError
from mgm_jax.features import open_features

X = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
Writer = Callable[[Path], tuple[Path, str | None]]


def npy(folder: Path) -> tuple[Path, str | None]:
    np.save(folder / "x.npy", X)
    return folder / "x.npy", None


def npz(folder: Path) -> tuple[Path, str | None]:
    np.savez(folder / "x.npz", a=X, b=X[:3])
    return folder / "x.npz", "a"


def npz_compressed(folder: Path) -> tuple[Path, str | None]:
    np.savez_compressed(folder / "y.npz", a=X.astype(np.float64))
    return folder / "y.npz", None


def safetensors(folder: Path) -> tuple[Path, str | None]:
    numpy = pytest.importorskip("safetensors.numpy")
    numpy.save_file({"a": X, "other": X[:1]}, folder / "x.safetensors")
    return folder / "x.safetensors", "a"


def bfloat16(folder: Path) -> tuple[Path, str | None]:
    numpy = pytest.importorskip("safetensors.numpy")
    numpy.save_file({"a": X.astype(ml_dtypes.bfloat16)}, folder / "b.safetensors")
    return folder / "b.safetensors", None


def parquet_lists(folder: Path) -> tuple[Path, str | None]:
    table = pa.table({"id": [f"i{i}" for i in range(50)], "embedding": list(X), "label": [0] * 50})
    pq.write_table(table, folder / "x.parquet", row_group_size=7)
    return folder / "x.parquet", None


def parquet_columns(folder: Path) -> tuple[Path, str | None]:
    pq.write_table(pa.table({f"f{i}": X[:, i] for i in range(6)}), folder / "c.parquet")
    return folder / "c.parquet", None


def hdf5(folder: Path) -> tuple[Path, str | None]:
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "x.h5", "w") as file:
        file["deep/a"] = X
        file["name"] = np.arange(3)
    return folder / "x.h5", "deep/a"


def zarr(folder: Path) -> tuple[Path, str | None]:
    store = {"driver": "file", "path": str(folder / "z")}
    meta = {"shape": [50, 6], "data_type": "float32"}
    array = ts.open({"driver": "zarr3", "kvstore": store, "metadata": meta}, create=True).result()
    array[:].write(X).result()
    return folder / "z", None


WRITERS: list[Writer] = [
    *(npy, npz, npz_compressed, safetensors, bfloat16, parquet_lists, parquet_columns, hdf5, zarr)
]


@pytest.mark.parametrize("write", WRITERS, ids=lambda one: one.__name__)
def test_blocks_are_those_of_the_array(write: Writer, tmp_path: Path) -> None:
    path, key = write(tmp_path)
    file = open_features([path], key=key)
    right = X.astype(ml_dtypes.bfloat16) if write is bfloat16 else X
    assert file.shape == X.shape
    for start, stop in ((0, 20), (20, 50), (3, 9), (40, 41), (0, 50)):
        np.testing.assert_array_equal(
            np.asarray(file.read(start, stop), np.float32), right[start:stop].astype(np.float32)
        )
    assert open_features([path], key=key).digest == file.digest


def test_shards_are_one_array(tmp_path: Path) -> None:
    parts = [tmp_path / f"{i}.npy" for i in range(3)]
    for path, block in zip(parts, np.split(X, [10, 30]), strict=True):
        np.save(path, block)
    file = open_features(parts)
    np.testing.assert_array_equal(file.read(5, 45), X[5:45])
    assert open_features(parts[::-1]).digest != file.digest


def test_ids_and_labels_come_with_parquet(tmp_path: Path) -> None:
    file = open_features([parquet_lists(tmp_path)[0]])
    assert file.ids == tuple(f"i{i}" for i in range(50))
    assert file.labels == (0,) * 50


def write_bad(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.npy"
    if kind == "integers":
        np.save(path, np.arange(12).reshape(3, 4))
    elif kind == "objects":
        np.save(path, np.array([{}, []], dtype=object), allow_pickle=True)
    elif kind == "vector":
        np.save(path, X[0])
    elif kind == "cut":
        np.save(path, X)
        path.write_bytes(path.read_bytes()[:-40])
    elif kind == "text":
        path = folder / "x.csv"
        path.write_text("1,2\n")
    return path


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("integers", "floating-point"),
        ("objects", "cannot be read"),
        ("vector", r"got shape \(6,\)"),
        ("cut", "cannot be read"),
        ("text", "suffixes"),
        ("absent", "does not exist"),
    ],
)
def test_what_holds_no_features_is_named(kind: str, named: str, tmp_path: Path) -> None:
    path = write_bad(tmp_path, kind)
    with pytest.raises(InputError, match=named) as error:
        open_features([path])
    assert path.name in str(error.value)


def test_a_key_that_is_needed_or_wrong_is_named(tmp_path: Path) -> None:
    path, _ = npz(tmp_path)
    with pytest.raises(InputError, match=r"2 arrays .*a, b"):
        open_features([path])
    with pytest.raises(InputError, match="no array 'c'"):
        open_features([path], key="c")
