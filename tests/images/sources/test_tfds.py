"""A small TFDS data set, written and read without TensorFlow."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mgm_jax.errors import InputError
from mgm_jax.images.sources.open_source import open_source
from mgm_jax.images.sources.tfds import tfds_source
from tests.images.pictures import random_pixels

tfds = pytest.importorskip("tensorflow_datasets")
pytest.importorskip("array_record")


def png(pixels: np.ndarray) -> io.BytesIO:
    """Encoded picture; TFDS would take an array to TensorFlow for that."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    buffer.seek(0)
    return buffer


class TinyPets(tfds.core.GeneratorBasedBuilder):
    """Nine pictures of two kinds."""

    # Not part of a package: TFDS need not look for a file of checksums beside this one.
    code_path = None
    VERSION = tfds.core.Version("1.2.0")

    def _info(self):
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "label": tfds.features.ClassLabel(names=["cat", "dog"]),
            }
        )
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(6), "test": self._generate_examples(3)}

    def _generate_examples(self, count):
        for i in range(count):
            yield i, {"image": png(random_pixels(i, 8 + i, 9)), "label": i % 2}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tfds")
    TinyPets(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder


def test_images_and_labels_come_back_without_tensorflow(data_dir):
    source = tfds_source("tiny_pets", "train", data_dir=data_dir)
    assert source.name == "tiny_pets/train"
    assert source.classes == ("cat", "dog")
    assert len(source) == 6
    heights = []
    for i in range(6):
        image = source.read(i)
        number = image.shape[0] - 8  # TFDS shuffles; the height tells which picture it is
        np.testing.assert_array_equal(image, random_pixels(number, 8 + number, 9))
        assert source.labels[i] == number % 2
        heights.append(number)
    assert sorted(heights) == list(range(6))
    assert "tensorflow" not in sys.modules


def test_it_opens_by_folder_and_by_name(data_dir, monkeypatch):
    folder = data_dir / "tiny_pets" / "1.2.0"
    by_folder = open_source(f"tfds:{folder}/test")
    assert len(by_folder) == 3
    by_name = tfds_source("tiny_pets:1.2.0", "test", data_dir=data_dir)
    assert by_name.ids == by_folder.ids == ("test/0000000", "test/0000001", "test/0000002")
    assert by_name.digest == by_folder.digest
    assert open_source(f"tfds:{folder}", split="test").digest == by_folder.digest


def test_a_slice_keeps_the_ids_of_the_whole(data_dir):
    whole = tfds_source("tiny_pets", "train", data_dir=data_dir)
    part = tfds_source("tiny_pets", "train[4:]", data_dir=data_dir)
    assert part.ids == whole.ids[4:]
    assert part.digest == whole.subset([4, 5]).digest


def test_what_is_missing_is_named(data_dir):
    with pytest.raises(InputError, match="'huge_pets' is not prepared"):
        tfds_source("huge_pets", "train", data_dir=data_dir)
    with pytest.raises(InputError, match=r"'valid' of tiny_pets/1\.2\.0.*\n.*train, test"):
        tfds_source("tiny_pets", "valid", data_dir=data_dir)


def test_a_class_that_is_not_of_tfds_is_never_imported(data_dir, tmp_path, monkeypatch):
    """The module of the class would be imported, and with it whatever lies in the path."""
    (tmp_path / "planted.py").write_text("raise SystemExit('the planted module was run')")
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "sets" / "tiny_pets" / "1.2.0"
    shutil.copytree(data_dir / "tiny_pets" / "1.2.0", folder)
    features = folder / "features.json"
    told = features.read_text()
    inner = json.dumps({"type": "planted.Image", "content": {}})
    for changed in (
        told.replace("tensorflow_datasets.core.features.image_feature", "planted"),
        told.replace("tensorflow_datasets.core.features.features_dict", "planted"),
        json.dumps(json.loads(told) | {"jsonFeature": {"json": inner}}),
    ):
        assert changed != told
        features.write_text(changed)
        for open_it in (
            lambda: open_source(f"tfds:{folder}/train"),
            lambda: tfds_source("tiny_pets", "train", data_dir=tmp_path / "sets"),
        ):
            with pytest.raises(InputError, match=r"'planted\..*not one of TFDS"):
                open_it()
    assert "planted" not in sys.modules
