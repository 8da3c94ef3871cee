"""What lies in place of a file is named by every reader of arrays, tables and archives."""

from __future__ import annotations

import shutil
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import mgm_jax as mgm
from mgm_jax import InputError
from mgm_jax.features.files import open_features

FOUND = {
    "version https://git-lfs.github.com/spec/v1\noid sha256:00\n": "git lfs pull",
    " <!DOCTYPE html><title>Quota exceeded</title>": "a web page",
    "": "empty",
    "\0" * 600: "zeros",
}
HDF5 = ("h5",) if find_spec("h5py") else ()
IMAGES = ("zip", "tar", "tar.gz", "npz", "npy", "parquet", "arrow", "csv", "t10k-ubyte", *HDF5)
FEATURES = ("npy", "npz", "parquet", *HDF5)


@pytest.mark.parametrize("content", list(FOUND), ids=["pointer", "page", "empty", "zeros"])
def test_placeholders_are_named_whatever_was_meant(content: str, tmp_path: Path) -> None:
    for suffix in IMAGES:
        path = tmp_path / f"set.{suffix}"
        path.write_text(content)
        with pytest.raises(InputError, match=FOUND[content]) as said:
            mgm.open_source(path)
        assert "pickle" not in str(said.value), "no advice to load what may run code"
    for suffix in FEATURES:
        with pytest.raises(InputError, match=FOUND[content]) as said:
            open_features([tmp_path / f"set.{suffix}"])
        assert "pickle" not in str(said.value)


def test_another_format_and_one_cut_short_are_told_apart(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as archive:
        archive.writestr("a/1.png", b"0" * 500)
    shutil.copy(tmp_path / "whole.zip", tmp_path / "set.tar")
    with pytest.raises(InputError, match="The file is a zip archive"):
        mgm.open_source(tmp_path / "set.tar")
    content = (tmp_path / "whole.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="is cut short or damaged"):
        mgm.open_source(tmp_path / "cut.zip")


def test_objects_of_python_are_refused_with_a_way_on(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=np.zeros((2, 4, 4)), labels=np.array(["a", None]))
    with pytest.raises(InputError, match=r"never loaded\. Save numbers or texts"):
        mgm.open_source(tmp_path / "set.npz")


@pytest.mark.parametrize("images", ["", " ", "https://example.org/set.zip", "s3://bucket/set"])
def test_places_that_are_none_are_refused(images: str) -> None:
    with pytest.raises(InputError, match=r"empty text|an address: fetch"):
        mgm.open_source(images)
