"""Ids and labels that lie beside features are found in every format, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mgm_jax import InputError
from mgm_jax.features import feature_images, open_features
from mgm_jax.study import make_study
from mgm_jax.sweep.plan.features import open_feature_sets

X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
Y = np.array([2, 0, 1, 1, 0, 2])
Save = Callable[[Path, Mapping[str, Any]], Path]


def npz(folder: Path, arrays: Mapping[str, Any]) -> Path:
    np.savez(folder / "x.npz", **arrays)
    return folder / "x.npz"


def hdf5(folder: Path, arrays: Mapping[str, Any]) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "x.h5", "w") as file:
        for name, array in arrays.items():
            file[f"deep/{name}"] = array
    return folder / "x.h5"


def safetensors(folder: Path, arrays: Mapping[str, Any]) -> Path:
    numpy = pytest.importorskip("safetensors.numpy")
    numpy.save_file(dict(arrays), folder / "x.safetensors")
    return folder / "x.safetensors"


def pickled(folder: Path, arrays: Mapping[str, Any]) -> Path:
    torch = pytest.importorskip("torch")
    from mgm_converters.features import unpack_features

    torch.save({k: torch.from_numpy(v) for k, v in arrays.items()}, folder / "x.pt")
    return unpack_features(folder / "x.pt", folder)


def parquet(folder: Path, arrays: Mapping[str, Any]) -> Path:
    columns = {name: list(one) if one.ndim > 1 else one for name, one in arrays.items()}
    pq.write_table(pa.table(columns), folder / "x.parquet")
    return folder / "x.parquet"


@pytest.mark.parametrize("save", [npz, hdf5, safetensors, pickled, parquet])
@pytest.mark.parametrize("name", ["label", "labels", "Target", "y"])
def test_labels_are_found(save: Save, name: str, tmp_path: Path) -> None:
    file = open_features([save(tmp_path, {"a": X, name: Y, "seen": np.arange(6)})])
    np.testing.assert_array_equal(file.read(0, 6), X)
    assert file.labels == tuple(Y) and file.ids is None


@pytest.mark.parametrize("save", [npz, hdf5, safetensors, pickled, parquet])
def test_quantities_are_no_labels(save: Save, tmp_path: Path) -> None:
    path = save(tmp_path, {"x": X, "y": np.linspace(0, 1, len(X))})
    with pytest.warns(UserWarning, match="y holds numbers with fractions, so it is taken for no"):
        assert open_features([path]).labels is None


def test_a_name_of_the_usual_ones_that_is_of_no_rows_says_nothing(tmp_path: Path) -> None:
    beside = {"label": "cat", "path": "/data", "image": np.zeros((6, 2, 2, 3)), "id": Y[:3]}
    file = open_features([npz(tmp_path, {"a": X, **beside})])
    assert file.labels is None and file.ids is None


def test_columns_of_labels_are_flattened_and_codes_of_one_refused(tmp_path: Path) -> None:
    assert open_features([npz(tmp_path, {"a": X, "y": Y[:, None]})]).labels == tuple(Y)
    with pytest.raises(InputError, match=r"y must hold one label a row; got shape \(6, 3\)"):
        open_features([npz(tmp_path, {"a": X, "y": np.eye(3)[Y]})])


def test_texts_beside_tensors_are_kept(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from mgm_converters.features import unpack_features

    torch.save(
        {"a": torch.from_numpy(X), "ids": list("uvwxyz"), "labels": list("aabbcc")},
        p := (tmp_path / "x.pt"),
    )
    file = open_features([unpack_features(p, tmp_path)])
    assert file.ids == tuple("uvwxyz") and file.labels == tuple("aabbcc")


def test_tensors_of_one_name_are_told_apart(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from mgm_converters.features import unpack_features

    torch.save(
        {s: {"x": torch.full((6, 2), v)} for s, v in (("train", 1.0), ("test", 2.0))},
        p := (tmp_path / "x.pt"),
    )
    path = unpack_features(p, tmp_path)
    assert open_features([path], key="train.x").read(0, 1).tolist() == [[1.0, 1.0]]
    torch.save({"x": torch.from_numpy(X).to_sparse()}, p)
    with pytest.raises(InputError, match=r"sparse_coo.*to_dense"):
        unpack_features(p, tmp_path)


def test_an_array_stored_column_by_column_is_read(tmp_path: Path) -> None:
    file = open_features([npz(tmp_path, {"a": np.asfortranarray(X)})])
    np.testing.assert_array_equal(np.concatenate([file.read(0, 2), file.read(2, 6)]), X)


def test_labels_that_pandas_made_floats_are_no_feature(tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=list("pqxy"), index=pd.Index(np.arange(6) / 2))
    frame = frame.assign(label=[*Y[:5], None], id=np.arange(6.0))
    frame.to_parquet(path := tmp_path / "x.parquet")
    file = open_features([path])
    np.testing.assert_array_equal(file.read(0, 6), X)
    assert file.ids == tuple("012345")
    assert feature_images(file, name="x").labels.tolist() == [2, 0, 1, 1, 0, -1]


def test_integers_beside_columns_of_features_are_told_of(tmp_path: Path) -> None:
    pd.DataFrame(X, columns=list("pqrs")).assign(q=Y).to_parquet(path := tmp_path / "x.parquet")
    with pytest.warns(UserWarning, match="integers are taken for no features: q"):
        assert open_features([path]).shape == (6, 3)


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        # Together as many values as three rows of two.
        (pa.array([[1.0, 2.0, 3.0], [4.0], [5.0, 6.0]]), "differ in length"),
        (pa.array([], pa.list_(pa.float32())), "a row an image; it has none"),
    ],
)
def test_lists_that_are_no_rows_are_refused(lists: pa.Array, said: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": lists}), path := tmp_path / "x.parquet")
    with pytest.raises(InputError, match=said):
        open_features([path])


def test_large_lists_are_rows(tmp_path: Path) -> None:
    lists = pa.array(X.tolist(), pa.large_list(pa.float32()))
    pq.write_table(pa.table({"a": lists}), path := tmp_path / "x.parquet")
    np.testing.assert_array_equal(open_features([path]).read(0, 6), X)


def test_shards_state_labels_together_or_not_at_all(tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", X)
    with pytest.raises(InputError, match=r"all state labels, or none of them; b.npy of 2"):
        open_features([npz(tmp_path, {"a": X, "y": Y}), tmp_path / "b.npy"])


@pytest.mark.parametrize("labelled", [0, 1])
def test_labels_count_whichever_model_states_them(labelled: int, tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("id\nf\nb\nc\nd\ne\na\n")
    (tmp_path / "l.csv").write_text("label\nu\nv\nv\nw\nw\nw\n")
    entries = []
    for number, ids in enumerate(("ids.csv", "other.csv")):
        np.save(tmp_path / f"{number}.npy", X)
        entries.append({"source": f"{number}.npy", "ids": ids})
    (tmp_path / "other.csv").write_text("id\na\nb\nc\nd\ne\nf\n")
    entries[labelled]["labels"] = "l.csv"
    study = make_study({"features": entries, "augmentation": None}, where="study")
    (found,) = open_feature_sets(study, base=tmp_path, cache=tmp_path, convert=None)
    source = found.images.source
    named = {one: source.classes[code] for one, code in zip(source.ids, source.labels, strict=True)}
    assert named == dict(zip("fbcdea" if labelled == 0 else "abcdef", "uvvwww", strict=True))
