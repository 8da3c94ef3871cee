"""Wrappers, splits and classes in the paths of image files."""

from __future__ import annotations

import pytest

from mgm_jax.errors import InputError
from mgm_jax.images.sources.files.layout import find_layout, split_kind
from mgm_jax.images.sources.open_source import open_source
from tests.images.pictures import random_pixels, write_classes, write_picture

ANIMALS = [f"{name}/{i}.png" for name in ("ant", "bee") for i in (1, 2)]


def below(*folders: str) -> list[str]:
    return [f"{folder}/{path}" for folder in folders for path in ANIMALS]


@pytest.mark.parametrize("wrapper", ["photos", "photos/animals", "a/b/c/d"])
def test_folders_that_hold_one_folder_are_passed_through(wrapper):
    layout = find_layout(below(wrapper), where="x")
    assert layout.classes == ("ant", "bee") and layout.paths == ANIMALS
    assert repr(wrapper) in layout.notes[0]
    assert find_layout(ANIMALS, where="x").notes == ()
    # As many folders as name a class are left.
    assert find_layout(below("one"), where="x", depth=2).classes == ("one/ant", "one/bee")


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val"),
        ("Training", "TEST"),
        ("train", "valid", "test"),
        ("train2017", "val2017"),
        ("dev", "eval"),
        ("train_images", "test-set"),
    ],
)
@pytest.mark.parametrize("wrapper", ["", "data/"])
def test_folders_called_like_splits_are_no_classes(names, wrapper):
    layout = find_layout(below(*(wrapper + name for name in names)), where="x")
    assert layout.classes == ("ant", "bee")
    assert layout.labels.tolist() == [0, 0, 1, 1] * len(names)
    assert layout.paths == below(*names), "which split an image is of stays in its id"
    assert any(f"{', '.join(sorted(names))} are taken as splits" in note for note in layout.notes)
    for name in names:
        one = find_layout(below(*(wrapper + name for name in names)), where="x", split=name)
        assert one.classes == ("ant", "bee") and one.paths == ANIMALS and not one.notes


@pytest.mark.parametrize("asked", ["val", "validation", "VALID", "dev", "data/valid"])
def test_a_split_is_found_by_what_it_is_for(asked):
    paths = below("data/train", "data/valid", "data/extra")
    layout = find_layout(paths, where="x", split=asked)
    assert layout.kept == list(range(4, 8)) and layout.paths == ANIMALS


def test_splits_within_the_classes(tmp_path):
    paths = [f"{name}/{split}/1.png" for name in ("ant", "bee") for split in ("train", "test")]
    layout = find_layout(paths, where="x")
    assert layout.classes == ("ant", "bee") and "split: takes one" in layout.notes[0]
    one = find_layout(paths, where="x", split="test")
    assert one.kept == [1, 3] and one.paths == ["ant/1.png", "bee/1.png"]


def test_splits_whose_images_have_no_class():
    flat = find_layout(["train/1.png", "test/2.png"], where="x")
    assert flat.classes == ("all",) and "taken as splits" in flat.notes[0]
    subset = find_layout([*below("train"), "test/9.png"], where="x")
    assert subset.classes == ("ant", "bee") and subset.labels.tolist() == [0, 0, 1, 1, -1]
    assert "test lie in no folder of a class" in subset.notes[1]


def test_vehicles_may_be_trains_and_doubt_is_said():
    vehicles = find_layout([f"{name}/1.png" for name in ("bus", "car", "train")], where="x")
    assert vehicles.classes == ("bus", "car", "train") and not vehicles.notes
    mixed = find_layout(below("train", "test", "extra"), where="x")
    assert mixed.classes == ("extra", "test", "train")
    assert "called like splits, but stand beside extra" in mixed.notes[0]
    assert split_kind("trainers") is None and split_kind("test2") == "test"


@pytest.mark.parametrize(
    ("paths", "options", "said"),
    [
        (["train/ant/1.png", "val/images/1.png"], {}, "share no class"),
        (below("train", "val"), {"split": "tests"}, "no folder of images 'tests'; it has train"),
        (below("val", "valid"), {"split": "validation"}, "may be any of val, valid"),
        (["1.png", *ANIMALS], {}, "images of no class: 1.png"),
        ([], {}, "holds no image files"),
        (ANIMALS, {"split": "train"}, "no folder of images 'train'; it has ant, bee"),
    ],
)
def test_what_is_no_layout_is_refused(paths, options, said):
    with pytest.raises(InputError, match=said):
        find_layout(paths, where="x", **options)


@pytest.mark.parametrize("table", [False, True])
def test_classes_that_look_alike_are_named(tmp_path, table):
    # The second name begins with a Cyrillic letter.
    names = ["cat", "\u0441at", "dog", "Dog", "owl"]
    for name in names:
        write_picture(tmp_path / "set" / name / "1.png", random_pixels(0))
    if table:
        rows = "".join(f"set/{name}/1.png,{name}\n" for name in names)
        (tmp_path / "set.csv").write_text("path,label\n" + rows, encoding="utf-8")
    source = open_source(tmp_path / ("set.csv" if table else "set"), warn=False)
    assert len(source.classes) == 5 and len(source.notes) == 2
    assert "\\u0441at" in "".join(source.notes)


@pytest.mark.parametrize("names", [("seg_train", "seg_test"), ("Pets.val.2", "pets-Train-2")])
def test_words_that_all_folders_share_hide_no_splits(names):
    paths = [f"{one}/{inner}" for one in names for inner in below(one)]
    layout = find_layout(paths, where="x")
    assert layout.classes == ("ant", "bee") and "taken as splits" in layout.notes[0]
    train = find_layout(paths, where="x", split="train")
    assert train.paths == ANIMALS and len({paths[i].split("/")[0] for i in train.kept}) == 1


def test_the_same_folders_in_every_class_are_told_of():
    """Folds, domains, cameras: which of the two levels the classes are is not in the paths."""
    domains = find_layout(below("photo", "sketch"), where="x")
    assert domains.classes == ("photo", "sketch")
    told = "the folders photo, sketch are the classes, and each of them holds the folders ant, bee"
    assert told in domains.notes[0] and "depth: 2" in domains.notes[0]
    for own in (["n01/images/1.png", "n02/images/2.png"], [*below("photo"), "sketch/cat/1.png"]):
        assert find_layout(own, where="x").notes == ()


def test_a_wrapped_folder_is_its_zip(tmp_path):
    write_classes(tmp_path / "photos" / "in" / "animals")
    source = open_source(tmp_path / "photos", warn=False)
    assert source.name == "photos" and source.classes == ("a", "b", "c")
    assert source.ids[0] == "a/0.png"
