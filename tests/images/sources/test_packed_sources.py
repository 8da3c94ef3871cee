"""Archives, IDX files and rows of PNG files, and classes by depth and pattern."""

from __future__ import annotations

import gzip
import json
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mgm_jax.errors import InputError
from mgm_jax.images.sources.open_source import open_source
from tests.images.pictures import random_pixels, write_classes, write_picture


def zipped(folder: Path, *, wrap: str = "") -> Path:
    """An archive of a folder's files, below ``wrap``."""
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, wrap + file.relative_to(folder).as_posix())
    return target


@pytest.mark.parametrize("wrap", ["", "outer/", "outer/inner/"])
def test_an_archive_reads_like_the_folder_it_was_made_from(tmp_path: Path, wrap: str) -> None:
    folder = write_classes(tmp_path / "pets")
    (folder / "notes.txt").write_text("no picture")
    source, expected = open_source(zipped(folder, wrap=wrap)), open_source(folder)
    assert source.ids == expected.ids and source.classes == expected.classes
    np.testing.assert_array_equal(source.labels, expected.labels)
    for position in range(len(source)):
        np.testing.assert_array_equal(source.read(position), expected.read(position))


def test_the_digest_of_an_archive_is_of_its_images(tmp_path: Path) -> None:
    folder = write_classes(tmp_path / "pets")
    first = open_source(zipped(folder)).digest
    assert open_source(zipped(folder, wrap="wrapped/")).digest == first
    write_picture(folder / "a" / "0.png", random_pixels(99))
    assert open_source(zipped(folder)).digest != first


def test_a_split_of_an_archive_and_what_is_not_shown(tmp_path: Path) -> None:
    write_classes(tmp_path / "pets" / "train", classes=2)
    write_classes(tmp_path / "pets" / "test")
    write_picture(tmp_path / "pets" / "__MACOSX" / "train" / "a" / "0.png", random_pixels(0))
    source = open_source(zipped(tmp_path / "pets"), split="train")
    assert source.name == "pets/train" and source.classes == ("a", "b")
    assert len(source) == 8


def test_archives_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    (tmp_path / "no.zip").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match="zip archive"):
        open_source(tmp_path / "no.zip")
    folder = write_classes(tmp_path / "pets", classes=1)
    path = zipped(folder)
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be"):
        open_source(path).read(0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no image files"):
        open_source(zipped(tmp_path / "empty"))
    with pytest.raises(InputError, match="labels="):
        open_source(path, labels=[0])


def test_two_folders_may_name_a_class(tmp_path: Path) -> None:
    for alphabet in ("greek", "latin"):
        write_classes(tmp_path / "letters" / alphabet, classes=2)
    for source in (
        open_source(tmp_path / "letters", depth=2),
        open_source(zipped(tmp_path / "letters"), depth=2),
    ):
        assert source.classes == ("greek/a", "greek/b", "latin/a", "latin/b")
        assert np.bincount(source.labels).tolist() == [4, 4, 4, 4]
        greek = source.only(["greek/*"])
        assert len(greek) == 8 and all(one.startswith("greek/") for one in greek.ids)
        with pytest.raises(InputError, match="no class 'korean"):
            source.only(["korean/*"])
    with pytest.raises(InputError, match="3 folders deep"):
        open_source(tmp_path / "letters", depth=3)
    with pytest.raises(InputError, match="depth="):
        open_source("digits", depth=2)


def write_idx(path: Path, array: np.ndarray) -> None:
    """The format as its author describes it."""
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    with gzip.open(path, "wb") if path.suffix == ".gz" else path.open("wb") as file:
        file.write(head + array.astype(np.uint8).tobytes())


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_files_with_the_labels_beside(tmp_path: Path, ending: str) -> None:
    pixels = random_pixels(0, 6, 40)[..., 0].reshape(6, 5, 8)
    path = tmp_path / f"some-images-idx3-ubyte{ending}"
    write_idx(path, pixels)
    assert open_source(path).classes == ()
    write_idx(tmp_path / f"some-labels-idx1-ubyte{ending}", np.array([3, 1, 3, 1, 7, 7]))
    source = open_source(path)
    assert source.classes == ("1", "3", "7") and source.labels.tolist() == [1, 0, 1, 0, 2, 2]
    np.testing.assert_array_equal(source.read(4)[..., 1], pixels[4])


def test_damaged_idx_files_say_why(tmp_path: Path) -> None:
    path = tmp_path / "x-images-idx3-ubyte"
    write_idx(path, random_pixels(0, 6, 40)[..., 0].reshape(6, 5, 8))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match="damaged"):
        open_source(path)
    path.write_bytes(b"\1\2\3\4\5")
    with pytest.raises(InputError, match="no IDX file"):
        open_source(path)
    zipped_path = tmp_path / "x-images-idx3-ubyte.gz"
    zipped_path.write_bytes(b"\x1f\x8b\x08broken")
    with pytest.raises(InputError, match="cannot be read"):
        open_source(zipped_path)


def test_rows_of_png_files(tmp_path: Path) -> None:
    images = random_pixels(0, 7, 16).reshape(7, 4, 4, 3)
    for name, part in (("a", images[:4]), ("b", images[4:])):
        Image.fromarray(part.reshape(len(part), 16, 3)).save(tmp_path / f"{name}.png")
    source = open_source(f"rows:{tmp_path}")
    assert len(source) == 7 and source.classes == ()
    np.testing.assert_array_equal(source.read(5), images[5])
    content = {"classes": ["x", "y"], "labels": [0, 1, 0, 1, 1, 1, 0]}
    (tmp_path / "labels.json").write_text(json.dumps(content))
    labelled = open_source(f"rows:{tmp_path}")
    assert labelled.classes == ("x", "y") and labelled.labels.tolist() == content["labels"]
    (tmp_path / "labels.json").write_text("{}")
    with pytest.raises(InputError, match="must give labels"):
        open_source(f"rows:{tmp_path}")
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    with pytest.raises(InputError, match="no PNG files"):
        open_source(f"rows:{tmp_path}")
    Image.fromarray(random_pixels(0, 3, 15)).save(tmp_path / "odd.png")
    with pytest.raises(InputError, match="square number"):
        open_source(f"rows:{tmp_path}")


def test_real_archives_and_sheets(shared_data: Path) -> None:
    images = shared_data / "images"
    letters = open_source(images / "omniglot" / "images_background_small1.zip", depth=2)
    assert len(letters) == 2720 and len(letters.classes) == 136
    assert letters.read(100).shape == (105, 105, 3)
    mnist = open_source(images / "mnist_t10k" / "t10k-images-idx3-ubyte.gz")
    assert len(mnist) == 10_000 and mnist.classes == tuple("0123456789")
    # 980 zeros and 1135 ones, as its authors count.
    assert np.bincount(mnist.labels)[:2].tolist() == [980, 1135]
    cifar = open_source(f"rows:{images / 'cifar10_lossless'}")
    assert len(cifar) == 4000 and cifar.read(0).shape == (32, 32, 3)
    assert cifar.classes[cifar.labels[0]] == "frog"
