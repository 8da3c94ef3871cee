"""Tar shards of webdataset: the images of a folder, however they are cut into shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mgm_jax.errors import InputError
from mgm_jax.images import Limits, canvases, open_source
from tests.images.pictures import write_classes
from tests.images.sources.tables import files_of, samples, write_shard


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return files_of(write_classes(tmp_path_factory.mktemp("images") / "pets"))


def cut(folder: Path, files: dict[str, bytes], shards: int, suffix: str = ".tar") -> Path:
    """The samples in shards, every second one compressed where the suffix says so."""
    paths = list(files)
    for i in range(shards):
        part = samples({path: files[path] for path in paths[i::shards]})
        mode = {".tar": "w", ".tar.gz": "w:gz", ".tar.xz": "w:xz"}[suffix]
        write_shard(folder / f"train-{i:03d}{suffix}", part, mode=mode)
    return folder


def test_shards_of_any_number_and_packing_have_one_digest(files, tmp_path):
    one = open_source(cut(tmp_path / "one", files, 1) / "train-000.tar")
    assert len(one) == 12 and one.classes == ("a", "b", "c") and one.ids[5] == "b/1"
    assert one.columns["size"].tolist() == [len(content) for content in files.values()]
    assert one.columns["tags"][3] == ["x", "a/3"]
    three = cut(tmp_path / "three", files, 3)
    packed = cut(tmp_path / "packed", files, 3, ".tar.gz")
    positions = (
        *(three, f"wds:{three}", three / "*.tar", f"{three}/train-{{000..002}}.tar"),
        *(f"wds:{packed}", f"{cut(tmp_path / 'xz', files, 2, '.tar.xz')}/*.tar.xz"),
    )
    for index in positions:
        source = open_source(index)
        assert source.digest == one.digest, index
        assert np.array_equal(source.read(7), one.read(7))
    assert len(open_source(three, split="train")) == 12
    with pytest.raises(InputError, match="no files of the split 'test'"):
        open_source(three, split="test")


def test_webdataset_reads_the_same_samples(files, tmp_path):
    wds = pytest.importorskip("webdataset")
    folder = cut(tmp_path / "s", files, 2)
    source = open_source(folder)
    read = {}
    for sample in wds.WebDataset([str(p) for p in sorted(folder.iterdir())], shardshuffle=False):
        read[sample["__key__"]] = sample["cls"].decode(), sample["png"]
    assert sorted(read) == list(source.ids)
    for position, (name, label) in enumerate(zip(source.ids, source.labels, strict=True)):
        assert read[name][0] == source.classes[label]
        assert files[f"{name}.png"] == read[name][1] and source.read(position).ndim == 3


def test_keys_suffixes_and_labels_as_they_come(files, tmp_path):
    image, other = list(files.values())[:2]
    first = {
        "0.jpg": image,
        "0.json": b'{"kind": "dog", "age": 3}',
        "0.txt": b"a dog",
        "1.left.png": image,
        "1.right.png": other,
        "1.json": b'{"kind": "cat"}',
        "2.json": b'{"kind": "bird"}',
    }
    write_shard(tmp_path / "a.tar", first)
    with pytest.raises(InputError, match=r"several images, left\.png, right\.png"):
        open_source(f"wds:{tmp_path / 'a.tar'}", warn=False)
    del first["1.right.png"]
    write_shard(tmp_path / "a.tar", first)
    write_shard(tmp_path / "b.tar", {"0.png": other, "0.json": b'{"kind": "cat"}'})
    with pytest.warns(UserWarning, match="1 samples without an image"):
        source = open_source(tmp_path / "[ab].tar", fields={"label": "kind"})
    assert source.ids == ("1", "a/0", "b/0") and source.classes == ("cat", "dog")
    assert [str(one) for one in source.passed_over] == [
        "1 samples without an image (2)",
        "1 no image by its name (.txt) (0.txt)",
    ]
    assert source.columns["age"][1] == 3 and np.isnan(source.columns["age"][0])
    numbers = {f"{i}.png": image for i in range(3)} | {
        f"{i}.cls": b"%d" % (9 + i) for i in range(3)
    }
    assert open_source(write_shard(tmp_path / "n.tar", numbers)).classes == ("9", "10", "11")


def test_damaged_and_hostile_shards(files, tmp_path):
    image = next(iter(files.values()))
    write_shard(tmp_path / "x.tar", {"../../0.png": image, "0.cls": b"a"})
    with pytest.raises(InputError, match="no samples with an image"):
        open_source(f"wds:{tmp_path / 'x.tar'}")
    write_shard(tmp_path / "x.tar", {"0.png": image, "0.json": b"[" * 100_000})
    with pytest.raises(InputError, match=r"0\.json cannot be read"):
        open_source(f"wds:{tmp_path / 'x.tar'}")
    write_shard(tmp_path / "x.tar", {"0.png": image, "0.cls": bytes(2**21)})
    with pytest.raises(InputError, match="too many for a label"):
        open_source(tmp_path / "x.tar")
    write_shard(tmp_path / "x.tar.gz", {"0.png": bytes(2**27), "0.cls": b"a"}, mode="w:gz")
    with pytest.raises(InputError, match="made to fill a memory"):
        open_source(f"wds:{tmp_path / 'x.tar.gz'}")
    write_shard(
        tmp_path / "x.tar", {"0.png": image, "0.cls": b"a", "1.png": b"none", "1.cls": b"a"}
    )
    source = open_source(tmp_path / "x.tar")
    [batch] = canvases(source, resize=4, batch_size=2, on_error="skip")
    assert [name for name, _ in batch.failures] == ["1"]
    with pytest.raises(InputError, match="files; at most 1"):
        open_source(tmp_path / "x.tar", limits=Limits(files=1))
    (tmp_path / "x.tar").write_bytes((tmp_path / "x.tar").read_bytes()[:700])
    with pytest.raises(InputError, match="cannot be read as a tar"):
        open_source(f"wds:{tmp_path / 'x.tar'}")
    for pattern, problem in (
        ("x-{000..900}.tar", "x-000.tar"),
        ("x-{7}.tar", "range"),
        ("*.tar.zst", "no file"),
    ):
        with pytest.raises(InputError, match=problem):
            open_source(f"wds:{tmp_path}/{pattern}")
