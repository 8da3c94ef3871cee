"""Folders, array files and digits, opened by path or name."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from mgm_jax.errors import InputError
from mgm_jax.images.sources.open_source import open_source
from tests.images.pictures import random_pixels, write_classes, write_picture


def test_a_folder_of_classes(tmp_path):
    folder = write_classes(tmp_path / "pets")
    (folder / "classes.json").write_text("{}")
    (folder / ".hidden").mkdir()
    write_picture(folder / ".hidden" / "no.png", random_pixels(1))
    source = open_source(folder)
    assert source.name == "pets"
    assert source.classes == ("a", "b", "c")
    assert source.ids[:2] == ("a/0.png", "a/1.png")
    assert source.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    np.testing.assert_array_equal(source.read(5), random_pixels(11, 11, 13))


def test_a_flat_folder_is_one_class_and_deeper_images_belong_to_the_top(tmp_path):
    for name in ("one.PNG", "two.jpeg"):
        write_picture(tmp_path / "flat" / name, random_pixels(0))
    flat = open_source(tmp_path / "flat")
    assert flat.classes == ("all",)
    assert flat.labels.tolist() == [0, 0]
    for name in ("cats", "dogs"):
        write_picture(tmp_path / "deep" / name / "images" / "x.png", random_pixels(0))
    assert open_source(tmp_path / "deep").classes == ("cats", "dogs")


def test_a_split_is_a_folder_inside_and_links_are_followed(tmp_path):
    write_classes(tmp_path / "pets" / "train", classes=2)
    write_classes(tmp_path / "elsewhere", classes=1)
    (tmp_path / "pets" / "train" / "z").symlink_to(tmp_path / "elsewhere" / "a")
    source = open_source(tmp_path / "pets", split="train")
    assert source.name == "pets/train"
    assert source.classes == ("a", "b", "z")


def test_the_digest_of_a_folder_is_of_its_files_not_of_its_place(tmp_path):
    first = open_source(write_classes(tmp_path / "x"))
    second = open_source(write_classes(tmp_path / "y"))
    assert first.digest == second.digest
    write_picture(tmp_path / "y" / "a" / "0.png", random_pixels(99))
    assert open_source(tmp_path / "y").digest != first.digest


def test_arrays_with_labels(tmp_path):
    pixels = random_pixels(0, 6, 40).reshape(6, 5, 8, 3)
    np.savez(tmp_path / "some.npz", images=pixels, labels=[5, 5, 3, 3, -1, 5])
    source = open_source(tmp_path / "some.npz")
    assert source.name == "some"
    assert source.classes == ("3", "5")
    assert source.labels.tolist() == [1, 1, 0, 0, -1, 1]
    np.testing.assert_array_equal(source.read(2), pixels[2])

    np.save(tmp_path / "plain.npy", pixels)
    np.save(tmp_path / "labels.npy", np.array(list("bbabba")))
    assert open_source(tmp_path / "plain.npy").classes == ()
    labelled = open_source(tmp_path / "plain.npy", labels=tmp_path / "labels.npy")
    assert labelled.labels.tolist() == [1, 1, 0, 1, 1, 0]
    np.testing.assert_array_equal(labelled.read(5), pixels[5])


def test_patches_of_the_photographs_lie_side_by_side():
    source = open_source("photo-patches")
    assert len(source) == 120 and len(source.classes) == 8
    assert np.bincount(source.labels).tolist() == [15] * 8
    # Put together again they are the photograph, margins off, each in the quarter it says.
    china = np.asarray(load_sample_image("china.jpg"))
    middle = china[21 : 21 + 6 * 64]
    for position, (one, label) in enumerate(zip(source.ids[:60], source.labels, strict=False)):
        photo, row, column = one.split("-")
        top, left = 64 * int(row), 64 * int(column)
        patch = middle[top : top + 64, left : left + 64]
        np.testing.assert_array_equal(source.read(position), patch)
        half = ("top" if top < 192 else "bottom", "left" if left < 320 else "right")
        assert source.classes[label] == " ".join((photo, *half))


def test_digits_are_there_without_a_network():
    source = open_source("digits")
    assert len(source) == 1797
    assert source.classes == tuple("0123456789")
    image = source.read(0)
    assert image.shape == (8, 8, 3) and image.max() > 200
    assert source.ids[0] == "digit-0000"


@pytest.mark.parametrize(
    ("prepare", "options", "named"),
    [
        (lambda p: p / "nothing", {}, "No images at"),
        (lambda p: p, {}, "holds no image files"),
        (lambda p: write_picture(p / "x.png", random_pixels(0)).parent, {"labels": [0]}, "labels="),
        (lambda p: p, {"split": "train"}, "no folder of images"),
        (lambda p: "digits", {"split": "test"}, "split= does not apply"),
        (lambda p: "tfds:mnist", {}, "Name the split"),
        (lambda p: p / "no.npz", {}, "cannot be read as NumPy"),
    ],
)
def test_what_cannot_be_opened_says_why(tmp_path, prepare, options, named):
    with pytest.raises(InputError, match=named):
        open_source(prepare(tmp_path), **options)


def test_images_beside_folders_of_classes_are_refused(tmp_path):
    write_picture(write_classes(tmp_path) / "loose.png", random_pixels(0))
    with pytest.raises(InputError, match=r"loose\.png"):
        open_source(tmp_path)


def test_a_broken_file_is_named_when_it_is_read(tmp_path):
    folder = write_classes(tmp_path / "pets", classes=1)
    (folder / "a" / "1.png").write_bytes(b"not a picture")
    source = open_source(folder)
    with pytest.raises(InputError, match=r"a/1\.png cannot be decoded"):
        source.read(1)
    assert source.read(0).shape == (10, 12, 3)


def test_array_files_that_do_not_fit_say_why(tmp_path):
    np.savez(tmp_path / "other.npz", pictures=np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(InputError, match="no array called images"):
        open_source(tmp_path / "other.npz")
    np.save(tmp_path / "pickled.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(InputError, match="cannot be read"):
        open_source(tmp_path / "pickled.npy")
    np.save(tmp_path / "flat.npy", np.zeros((3, 3)))
    with pytest.raises(InputError, match=r"\[n, h, w\]"):
        open_source(tmp_path / "flat.npy")
    np.save(tmp_path / "good.npy", np.zeros((3, 4, 4), np.uint8))
    for labels, named in (([1, 2], "one label"), ([0.5, 1, 2], "whole numbers or texts")):
        with pytest.raises(InputError, match=named):
            open_source(tmp_path / "good.npy", labels=labels)


def test_real_folders(shared_data):
    source = open_source(shared_data / "images" / "caltech101_20x80")
    assert len(source) == 1600 and len(source.classes) == 20
    with Image.open(shared_data / "images" / "caltech101_20x80" / source.ids[0]) as picture:
        np.testing.assert_array_equal(source.read(0), np.asarray(picture.convert("RGB")))
