"""A tar archive that ends early loses no image in silence, and labels beside images are found."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from mgm_jax.errors import InputError
from mgm_jax.images import open_source
from tests.images.pictures import random_pixels, write_picture


def archive(path: Path, members: dict[str, bytes]) -> Path:
    mode = "w:gz" if path.suffix == ".gz" else "w"
    with tarfile.open(path, mode) as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("one") / "x.png"
    return write_picture(path, random_pixels(0)).read_bytes()


def starts(path: Path) -> list[int]:
    with tarfile.open(path) as file:
        return [member.offset for member in file]


@pytest.mark.parametrize("names", [("a/0.png", "b/1.png"), ("0.png", "0.cls", "1.png", "1.cls")])
def test_a_damaged_head_is_no_end(names: tuple[str, ...], picture: bytes, tmp_path: Path) -> None:
    whole = archive(tmp_path / "x.tar", dict.fromkeys(names, picture))
    content, last = whole.read_bytes(), starts(whole)[-1]
    damaged = content[:last] + b"\xff" + content[last + 1 :]
    for broken in (content[: last + 300], damaged):
        (tmp_path / "y.tar").write_bytes(broken)
        with pytest.raises(InputError, match=f"cut short or damaged at byte {last:,}"):
            open_source(tmp_path / "y.tar")


def test_archives_joined_by_cat_are_named(picture: bytes, tmp_path: Path) -> None:
    one = archive(tmp_path / "a.tar", {"a/0.png": picture, "b/0.png": picture}).read_bytes()
    (tmp_path / "both.tar").write_bytes(2 * one)
    with pytest.raises(InputError, match="another archive behind its end"):
        open_source(tmp_path / "both.tar")
    # Without the blocks of zeros that end it, as some programs leave it.
    (tmp_path / "bare.tar").write_bytes(one.rstrip(b"\0").ljust(-(-len(one) // 512) * 512, b"\0"))
    assert len(open_source(tmp_path / "bare.tar")) == 2


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
@pytest.mark.parametrize("beside", ["cls", "json"])
def test_labels_beside_images_without_folders_are_read(
    suffix: str, beside: str, picture: bytes, tmp_path: Path
) -> None:
    said = {name: name if beside == "cls" else json.dumps({"label": name}) for name in ("u", "v")}
    members = {}
    for number, name in enumerate("vuv"):
        members |= {f"{number}.png": picture, f"{number}.{beside}": said[name].encode()}
    source = open_source(archive(tmp_path / f"x{suffix}", members))
    assert source.classes == ("u", "v") and source.labels.tolist() == [1, 0, 1]


def test_other_facts_beside_images_are_no_labels(picture: bytes, tmp_path: Path) -> None:
    members = {"0.png": picture, "0.json": b'{"camera": 1}', "1.png": picture, "1.json": b"["}
    source = open_source(archive(tmp_path / "x.tar", members))
    assert source.classes == ("all",)
    np.testing.assert_array_equal(source.labels, 0)


def test_a_tar_archive_that_is_called_zip_and_a_list_of_paths_are_named(
    picture: bytes, tmp_path: Path
) -> None:
    archive(tmp_path / "x.zip", {"a/0.png": picture})
    with pytest.raises(InputError, match="The file is a tar archive"):
        open_source(tmp_path / "x.zip")
    with pytest.raises(InputError, match="got a list of paths"):
        open_source([str(tmp_path / "x.zip")])
    with pytest.raises(InputError, match="Did you mean digits"):
        open_source("digit")
    with pytest.raises(InputError, match="Variables of the shell"):
        open_source("$DATA/photos")
