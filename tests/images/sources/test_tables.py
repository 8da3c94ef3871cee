"""Images in the rows of tables, or listed by them, are those of the folder they came from."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mgm_jax.errors import InputError
from mgm_jax.images import ImageChanged, Limits, canvases, open_source
from mgm_jax.images.sources.tables import groups
from tests.images.pictures import random_pixels, write_classes
from tests.images.sources.tables import (
    files_of,
    hugging_face_table,
    write_parquet,
    write_saved,
)

ROWS = dict[str, bytes]


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classes(tmp_path_factory.mktemp("images") / "pets")


@pytest.fixture(scope="module")
def files(pets: Path) -> dict[str, bytes]:
    return files_of(pets)


def write_manifest(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_every_kind_of_table_has_the_digest_of_the_folder(pets, files, tmp_path):
    table, digest = hugging_face_table(files), open_source(pets).digest
    half = len(files) // 2
    parts = {"x-train-00000.parquet": table[:half], "x-train-00001.parquet": table[half:]}
    for name, part in parts.items():
        write_parquet(tmp_path / "hub" / "data" / name, part)
    rows = [{"path": f"pets/{path}", "label": path[0], "id": path} for path in reversed(files)]
    manifest = write_manifest(pets.parent / "manifest.csv", rows)
    pq.write_table(pa.Table.from_pylist(rows), pets.parent / "list.parquet")
    saved = write_saved(tmp_path / "saved", table)
    positions = (
        *(saved, tmp_path / "hub", tmp_path / "hub" / "data" / "*.parquet"),
        *(str(tmp_path / "hub/data/x-train-{00000..00001}.parquet"), manifest),
        pets.parent / "list.parquet",
    )
    folder = open_source(pets)
    for position in positions:
        source = open_source(position)
        assert source.digest == digest, position
        assert [source.read(i).tolist() for i in (0, 7)] == [
            folder.read(i).tolist() for i in (0, 7)
        ]
    assert open_source(saved).columns["height"].tolist() == [len(c) for c in files.values()]
    assert open_source(saved).subset([3, 1]).columns["height"].tolist() == [
        len(list(files.values())[i]) for i in (3, 1)
    ]


def test_what_hugging_face_datasets_writes_is_read_as_it_reads_it(files, tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    features = datasets.Features(
        image=datasets.Image(),
        label=datasets.ClassLabel(names=["c", "b", "a"]),
        tags=datasets.Sequence(datasets.ClassLabel(names=["x", "y"])),
    )
    made = datasets.Dataset.from_dict(
        {
            "image": [{"bytes": content, "path": path} for path, content in files.items()],
            "label": ["cba".index(path[0]) for path in files],
            "tags": [[i % 2] for i in range(len(files))],
        },
        features=features,
    )
    both = datasets.DatasetDict({"train": made, "test": made.select([11, 2])})
    both.save_to_disk(tmp_path / "saved")
    both["test"].to_parquet(tmp_path / "hub" / "test-00000-of-00001.parquet")
    for position in (tmp_path / "saved", tmp_path / "hub"):
        source = open_source(position, split="test")
        assert [source.classes[label] for label in source.labels] == ["c", "a"]
        assert source.columns["tags"].tolist() == [["y"], ["x"]]
        for i, item in enumerate(both["test"]):
            assert np.array_equal(source.read(i), np.asarray(item["image"]))
    with pytest.warns(UserWarning, match="test, train are taken as one set"):
        assert len(open_source(tmp_path / "saved")) == 14
    held = open_source(both["train"])
    assert [held.classes[label] for label in held.labels] == [path[0] for path in files]
    assert np.array_equal(held.read(5), open_source(tmp_path / "saved", split="train").read(5))


def test_splits_columns_and_kinds_of_labels(files, tmp_path):
    names = list(files)
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    rows = [
        {"file": path, "species": 10 - i, "split": "val" if i < 4 else "train", "age": i / 2}
        for i, path in enumerate(names)
    ]
    manifest = write_manifest(tmp_path / "m.csv", rows)
    fields = {"image": "file", "label": "species"}
    with pytest.warns(UserWarning, match="splits train, val are taken as one set"):
        whole = open_source(manifest, fields=fields)
    # Numbers in the order of their size; -1 is no label.
    assert whole.classes == tuple(map(str, range(11))) and whole.labels.min() == -1
    held_out = open_source(manifest, split="validation", fields=fields)
    assert held_out.ids == tuple(names[:4]) and held_out.name == "m/validation"
    assert held_out.columns["age"].tolist() == [0.0, 0.5, 1.0, 1.5]
    table = hugging_face_table(files).append_column("split", pa.array([r["split"] for r in rows]))
    split = open_source(write_parquet(tmp_path / "t.parquet", table), split="val")
    assert split.ids == tuple(names[:4])


@pytest.mark.parametrize("in_memory", [2**28, 100])
def test_rows_are_read_at_random_whatever_the_groups(files, tmp_path, monkeypatch, in_memory):
    monkeypatch.setattr(groups, "_GROUP_BYTES", in_memory)
    monkeypatch.setattr(groups, "_ALL_BYTES", 2 * in_memory)
    monkeypatch.setattr(groups, "_MAX_FILES", 1)
    table = pa.table({"pixels": list(files.values()), "name": list(files)})
    path = write_parquet(tmp_path / "t.parquet", table, rows=3)
    source = open_source(path, fields={"image": "pixels", "id": "name"})
    assert source.ids == tuple(files) and source.classes == ()
    order = np.random.default_rng(0).permutation(len(files))
    batches = canvases(source, order, resize=8, batch_size=12, threads=4)
    expected = open_source(write_saved(tmp_path / "s", table), fields={"image": "pixels"})
    other = canvases(expected, order, resize=8, batch_size=12)
    assert np.array_equal(next(batches).images, next(other).images)


def test_a_picture_that_changes_ends_the_run_and_a_missing_one_counts(files, tmp_path, monkeypatch):
    broken = dict(files)
    broken[next(iter(files))] = b"no picture"
    table = hugging_face_table(broken).to_pydict()
    table["image"][1] = {"bytes": None, "path": "/etc/passwd"}
    table["image"][2] = None
    path = write_parquet(tmp_path / "t.parquet", pa.table(table))
    source = open_source(path, fields={"image": "image"})
    [batch] = canvases(source, resize=8, batch_size=len(source), on_error="skip")
    assert [name for name, _ in batch.failures] == [source.ids[i] for i in range(3)]
    assert "/etc/passwd" in batch.failures[1][1] and "not followed" in batch.failures[1][1]
    with pytest.raises(InputError, match="skip errors"):
        next(canvases(source, resize=8, batch_size=4))
    # Only the group that was read last is held; the others are decoded from the new file.
    monkeypatch.setattr(groups, "_GROUP_BYTES", 1)
    monkeypatch.setattr(groups, "_MAX_FILES", 0)
    whole = open_source(write_parquet(path, hugging_face_table(files)))
    write_parquet(path, hugging_face_table(broken))
    with pytest.raises(ImageChanged, match="replaced"):
        whole.read(0)
    manifest = write_manifest(
        tmp_path / "m.csv",
        [{"path": "gone.png", "label": "a"}, {"path": "t.parquet", "label": "b"}],
    )
    [batch] = canvases(open_source(manifest), resize=8, batch_size=2, on_error="skip")
    assert len(batch.failures) == 2


def test_hdf5_holds_arrays_or_encoded_pictures(files, tmp_path):
    h5py = pytest.importorskip("h5py")
    pixels = np.stack([random_pixels(i, 6, 6) for i in range(8)])
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for split, rows in (("train", slice(0, 6)), ("test", slice(6, 8))):
            group = file.create_group(split)
            group.create_dataset("images", data=pixels[rows], chunks=(2, 6, 6, 3), compression=4)
            group["label"] = np.array([b"cat", b"dog"] * 4, dtype="S3")[rows]
            group["box"] = np.arange(16.0).reshape(8, 2)[rows]
    source = open_source(tmp_path / "x.h5", split="test")
    assert source.classes == ("cat", "dog") and source.labels.tolist() == [0, 1]
    assert np.array_equal(source.read(1), pixels[7])
    assert source.columns["test/box"].tolist() == [[12.0, 13.0], [14.0, 15.0]]
    with pytest.raises(InputError, match="a split"):
        open_source(tmp_path / "x.h5")
    kind = h5py.vlen_dtype(np.uint8)
    with h5py.File(tmp_path / "y.h5", "w") as file:
        data = file.create_dataset("image", (len(files),), dtype=kind)
        for i, content in enumerate(files.values()):
            data[i] = np.frombuffer(content, np.uint8)
        file["label"] = [path[0] for path in files]
        file["id"] = list(files)
        file["elsewhere"] = h5py.ExternalLink("x.h5", "/train/images")
    encoded = open_source(tmp_path / "y.h5")
    table = hugging_face_table(files)
    assert encoded.digest == open_source(write_saved(tmp_path / "s", table)).digest
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.create_dataset("images", (20_000_000, 64, 64), chunks=(1, 64, 64), dtype="u1")
    with pytest.raises(InputError, match="unpack"):
        open_source(tmp_path / "bomb.h5")
    with h5py.File(tmp_path / "out.h5", "w") as file:
        file.create_dataset("images", (4, 4, 4), "u1", external=[("x.h5", 0, 64)])
    with pytest.raises(InputError, match="other files"):
        open_source(tmp_path / "out.h5")


def damaged_state(folder: Path, **state: object) -> Path:
    (folder / "state.json").write_text(json.dumps(state))
    return folder


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(random_pixels(0)).save(buffer, "PNG")
    return buffer.getvalue()


def test_files_that_lie_or_fill_the_memory_are_refused(files, tmp_path):
    table = hugging_face_table(files)
    saved = write_saved(tmp_path / "saved", table, shards=1)
    outside = {"_data_files": [{"filename": "../saved/data-00000-of-00001.arrow"}]}
    with pytest.raises(InputError, match="outside of its folder"):
        open_source(damaged_state(saved, **outside))
    with pytest.raises(InputError, match="flatten_indices"):
        open_source(damaged_state(saved, _indices_data_files=[{"filename": "i.arrow"}]))
    with pytest.raises(InputError, match="must list the files"):
        open_source(damaged_state(saved, _data_files=7))
    (saved / "state.json").unlink()
    (saved / "dataset_info.json").unlink()
    shard = saved / "data-00000-of-00001.arrow"
    assert len(open_source(shard)) == len(files)
    shard.write_bytes(shard.read_bytes()[:-2000])
    with pytest.raises(InputError, match="cannot be read as Arrow"):
        open_source(shard)
    zeros = pa.table({"image": [bytes(2**21)] * 40})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(str(tmp_path / "z.arrow"), zeros.schema, options=options) as writer:
        writer.write_table(zeros)
    with pytest.raises(InputError, match="is compressed"):
        open_source(tmp_path / "z.arrow")
    # A dictionary holds one content for many rows: the pages are small, the rows are not.
    bomb = tmp_path / "bomb.parquet"
    pq.write_table(zeros, bomb, compression="zstd")
    source = open_source(bomb)
    [batch] = canvases(source, [0], resize=8, batch_size=1, on_error="skip")
    assert "as files do that are made to fill a memory" in batch.failures[0][1]
    many = write_parquet(tmp_path / "many.parquet", pa.table({"image": [picture()] * 9}))
    with pytest.raises(InputError, match="rows; at most 8"):
        open_source(many, limits=Limits(files=8))
    (tmp_path / "cut.parquet").write_bytes(many.read_bytes()[:-9])
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        open_source(tmp_path / "cut.parquet")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("path,label\n", "rows below it"),
        ("path,label\na.png\n", "expected 2 values"),
        ("name,label\na.png,x\n", "no column of paths"),
        ("path,label\n,x\n", "have no path"),
        ("path\na.png\na.png\n", "more than once: a.png"),
        ("path,label\na.png,0.5\n", "regression"),
        ("path,id\na.png,7\nb.png,7\n", None),
    ],
)
def test_a_manifest_says_what_is_wrong(tmp_path, content, problem):
    (tmp_path / "m.csv").write_text(content)
    if problem is None:
        # Ids that repeat are none; the paths are.
        assert open_source(tmp_path / "m.csv").ids == ("a.png", "b.png")
        return
    with pytest.raises(InputError, match=problem):
        open_source(tmp_path / "m.csv")
    with pytest.raises(InputError, match="no 'kind', which label= names"):
        (tmp_path / "m.csv").write_text("path\na.png\n")
        open_source(tmp_path / "m.csv", fields={"label": "kind"})


def test_names_of_columns_blanks_and_paths_may_be_written_otherwise(pets, tmp_path):
    (tmp_path / "a").symlink_to(pets / "a")
    listed = tmp_path / "x.csv"
    listed.write_text("Image_Path, Label\na/0.png, u\na/1.png,u \n")
    source = open_source(listed)
    assert source.classes == ("u",) and source.ids == ("a/0.png", "a/1.png")
    for twice in ("./a/0.png", str(tmp_path / "a" / "0.png")):
        listed.write_text(f"path,label\na/0.png,u\n{twice},v\n")
        with pytest.raises(InputError, match="names files more than once"):
            open_source(listed)


def test_labels_of_arrays_may_be_a_column_or_floats(tmp_path):
    pixels = np.stack([random_pixels(i) for i in range(3)])
    labels = np.array([1.0, np.nan, 0.0])
    np.savez(tmp_path / "x.npz", images=pixels, labels=labels)
    files = [tmp_path / "x.npz"]
    if h5py := pytest.importorskip("h5py", reason="HDF5"):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file["images"], file["labels"] = pixels, labels[:, None]
        files.append(tmp_path / "x.h5")
    for file in files:
        source = open_source(file)
        assert source.classes == ("0", "1") and source.labels.tolist() == [1, -1, 0]
