"""Labels of rows of features: by id where ids say so, each value as it was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mgm_jax.errors import InputError
from mgm_jax.features.files import open_features
from mgm_jax.features.images import feature_images
from mgm_jax.sweep.plan.given_scores import read_scores


def classes_of(folder: Path, name: str, content: bytes | np.ndarray) -> list[str]:
    """Names of the classes of four rows of features, by the labels in a file."""
    np.save(folder / "x.npy", np.ones((4, 2), np.float32))
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    images = feature_images(open_features([folder / "x.npy"]), name="x", labels=path)
    return [images.classes[code] if code >= 0 else "" for code in images.labels]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.csv", "\ufefflabel\r\n01\r\n1\r\né\r\n1\r\n".encode()),
        ("l.csv", "label;more\n01;\n1;\né;2,5\n1;\n".encode()),
        ("l.csv", "id,label\n3,1\n1,1\n0,01\n2,é\n".encode()),
        # Row numbers with zeros before or behind, blanks around values, other usual names.
        ("l.csv", "ID, Labels\n03.0, 1\n01.0, 1 \n00.0, 01\n02.0, é\n".encode()),
        ("l.txt", "\ufeff01\n1\né\n1\n\n\n".encode()),
        ("l.npy", np.array([["01"], ["1"], ["é"], ["1"]])),
        ("l.npy", np.array(["01", "1", "é", "1"]).astype(object).astype(str)),
    ],
)
def test_labels_are_those_that_were_written(
    name: str, content: bytes | np.ndarray, tmp_path: Path
) -> None:
    assert classes_of(tmp_path, name, content) == ["01", "1", "é", "1"]


@pytest.mark.parametrize("content", [b"label\n1.0\nnan\n2.0\n1.0\n", b"label\n1\nNaN\n2\n1\n"])
def test_numbers_beside_a_missing_one_are_whole(content: bytes, tmp_path: Path) -> None:
    assert classes_of(tmp_path, "l.csv", content) == ["1", "", "2", "1"]
    assert classes_of(tmp_path, "l.txt", content.partition(b"\n")[2]) == ["1", "", "2", "1"]


def test_a_class_may_be_called_nan(tmp_path: Path) -> None:
    assert classes_of(tmp_path, "l.txt", b"nan\na\n1.0\na\n") == ["nan", "a", "1.0", "a"]


def test_bytes_are_texts(tmp_path: Path) -> None:
    assert classes_of(tmp_path, "l.npy", np.array([b"a", b"b", b"a", b""])) == ["a", "b", "a", ""]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("l.csv", b"label\na\nb,c\nd\ne\n", "line 3: expected 1 values"),
        ("l.csv", b"id,label\n0,a\n0,b\n1,b\n2,a\n3,a\n", "'0' is there with 'a' and 'b'"),
        ("l.npy", np.eye(4), r"one value a row; got shape \(4, 4\)"),
        ("l.npy", b"<html>", "a web page"),
        ("l.csv", b"label\na\n", "4 rows, and there are 1 labels"),
    ],
)
def test_what_are_no_labels_is_named(
    name: str, content: bytes | np.ndarray, said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        classes_of(tmp_path, name, content)


def test_models_of_a_table_of_scores_are_names(tmp_path: Path) -> None:
    """Whatever they look like: pandas would read 1.10 as 1.1 and NA as nothing."""
    path = tmp_path / "scores.csv"
    path.write_text("model,pets,cars\n007,0.5,1\n1.10,,2\nNA,0.25,NaN\n")
    scores = read_scores(path, models=["NA", "1.10", "007", "other"])
    assert list(scores.index) == ["NA", "1.10", "007"]
    np.testing.assert_array_equal(scores, [[0.25, np.nan], [np.nan, 2], [0.5, 1]])
    path.write_text("model,pets\na,0.5\nb,high\n")
    with pytest.raises(InputError, match="numbers in the others; pets"):
        read_scores(path, models=["a"])
    # The first model would be taken for the names of the tasks.
    path.write_text("a,0.5\nb,0.75\n")
    with pytest.raises(InputError, match=r"name its tasks in the first line.*\(0.5\)"):
        read_scores(path, models=["a", "b"])
