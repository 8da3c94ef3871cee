"""Archives of any maker: names, encodings, compressions, oddities; equal to the folder."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow
import pytest

from mgm_jax.errors import InputError
from mgm_jax.images import ImageChanged, Limits
from mgm_jax.images.sources.open_source import open_source
from tests.images.pictures import random_pixels, write_classes


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = write_classes(tmp_path_factory.mktemp("archives") / "pets", classes=2, images=2)
    (root / "notes.txt").write_text("no image")
    return root


def picture(seed: int = 0) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(random_pixels(seed)).save(stream, "PNG")
    return stream.getvalue()


def as_tar(folder: Path, target: Path, mode: str) -> Path:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        archive.add(folder, folder.name)
    if mode == "zst":
        target.write_bytes(pyarrow.compress(plain.getvalue(), "zstd", asbytes=True))
    else:
        with tarfile.open(target, f"w:{mode}") as archive:
            archive.add(folder, folder.name)
    return target


@pytest.mark.parametrize(
    "ending", ["zip", "ZIP", "tar", "tar.gz", "TGZ", "tar.bz2", "tar.xz", "tar.zst"]
)
def test_an_archive_is_its_folder(folder: Path, tmp_path: Path, ending: str):
    target = tmp_path / f"some.pets.{ending}"
    if ending.lower() == "zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.rglob("*.*")):
                archive.write(path, path.relative_to(folder.parent))
    else:
        as_tar(folder, target, {"tar": "", "tgz": "gz"}.get(ending.lower(), ending.split(".")[-1]))
    result, wanted = open_source(target, warn=False), open_source(folder, warn=False)
    assert result.name == "some.pets" and result.digest == wanted.digest
    assert result.ids == wanted.ids and result.labels.tolist() == wanted.labels.tolist()
    for position in range(len(wanted)):
        np.testing.assert_array_equal(result.read(position), wanted.read(position))
    assert [(one.count, one.examples) for one in result.passed_over] == [(1, ("pets/notes.txt",))]


def write_zip(path: Path, names: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return path


def test_names_of_other_makers(tmp_path: Path):
    names = ["p\\ant\\1.PNG", "p\\bee\\", "/p/bee/1.png", "C:\\p\\ant\\2.JPG", "./p/./cat/1.png"]
    path = write_zip(tmp_path / "x.zip", {name: picture() for name in names})
    source = open_source(path, warn=False)
    assert source.classes == ("ant", "bee", "cat")
    assert source.ids == ("ant/1.PNG", "ant/2.JPG", "bee/1.png", "cat/1.png")


@pytest.mark.parametrize(
    ("name", "stored", "flag"),
    [
        ("café/1.png", "café/1.png".encode(), True),
        ("café/1.png", "café/1.png".encode(), False),
        ("café/1.png", "cafe\u0301/1.png".encode(), False),
        ("café/1.png", "café/1.png".encode("cp437"), False),
        ("日本/1.png", "日本/1.png".encode(), False),
    ],
    ids=["flag", "no flag", "decomposed", "cp437", "kanji"],
)
def test_encodings_of_names(tmp_path: Path, name: str, stored: bytes, flag: bool):
    holder = "x" * (len(stored) - 6) + "/1.png"
    path = write_zip(tmp_path / "x.zip", {holder: picture(), "tea/1.png": picture()})
    content = path.read_bytes().replace(holder.encode(), stored)
    if flag:
        at = content.index(b"PK\x01\x02")
        content = content[:7] + b"\x08" + content[8:]
        content = content[: at + 9] + b"\x08" + content[at + 10 :]
    path.write_bytes(content)
    source = open_source(path, warn=False)
    assert name in source.ids
    assert source.read(source.ids.index(name)).shape == (10, 12, 3)


def test_what_an_archive_should_not_hold_is_passed_over(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in ("a/1.png", "b/1.png", "../evil.png", "a/../../2.png", "__MACOSX/a/._1.png"):
            archive.writestr(name, picture())
        link = zipfile.ZipInfo("a/link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "1.png")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("b/1.png", picture(3))
    source = open_source(tmp_path / "x.zip", warn=False)
    assert source.ids == ("a/1.png", "b/1.png")
    np.testing.assert_array_equal(source.read(1), random_pixels(3))
    told = {one.reason: one.count for one in source.passed_over}
    assert told == {
        "names that lead out of the archive": 2,
        "links within the archive, not followed": 1,
        "earlier versions of files that the archive holds again": 1,
        "hidden, or written by the system": 1,
    }


def test_links_and_devices_in_a_tar_are_passed_over(tmp_path: Path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name in ("a/1.png", "b/1.png"):
            member = tarfile.TarInfo(name)
            member.size = len(picture())
            archive.addfile(member, io.BytesIO(picture()))
        for position, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(f"a/{position + 2}.png")
            member.type, member.linkname = kind, "a/1.png"
            archive.addfile(member)
    source = open_source(tmp_path / "x.tar", warn=False)
    assert source.ids == ("a/1.png", "b/1.png")
    assert sorted(one.count for one in source.passed_over) == [1, 2]


def test_a_damaged_or_changed_archive_is_named(folder: Path, tmp_path: Path):
    for name, said in (("x.tar", "tar archive"), ("x.tar.gz", "decompressed"), ("x.zip", "zip")):
        (tmp_path / name).write_bytes(b"\x1f\x8b no archive at all" if "gz" in name else b"no")
        with pytest.raises(InputError, match=said):
            open_source(tmp_path / name)
    path = as_tar(folder, tmp_path / "pets.tar", "")
    whole = path.read_bytes()
    source = open_source(path, warn=False)
    position = whole.index(b"IDAT") + 20
    with path.open("r+b") as file:
        file.seek(position)
        file.write(bytes([whole[position] ^ 1]))
    changed = 0
    for one in range(len(source)):
        try:
            source.read(one)
        except ImageChanged:
            changed += 1
    assert changed == 1
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="tar archive"):
        open_source(path)


@pytest.mark.slow
def test_archives_made_to_fill_a_memory_are_refused_before_they_do(tmp_path: Path):
    big = 80 * 2**20
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", bytes(big))
        archive.writestr("b/1.png", picture())
    source = open_source(tmp_path / "bomb.zip", warn=False)
    with pytest.raises(InputError, match=r"a/1\.png cannot be read: .*unpacks from"):
        source.read(0)
    assert source.read(1).shape == (10, 12, 3)
    with pytest.raises(InputError, match="bytes of images when unpacked"):
        open_source(tmp_path / "bomb.zip", limits=Limits(unpacked_bytes=big))
    member = tarfile.TarInfo("a/1.png")
    member.size = big
    with tarfile.open(tmp_path / "bomb.tar.gz", "w:gz") as archive:
        archive.addfile(member, io.BytesIO(bytes(big)))
    with pytest.raises(InputError, match=r"bomb\.tar\.gz unpacks from"):
        open_source(tmp_path / "bomb.tar.gz")
    np.savez_compressed(tmp_path / "bomb.npz", images=np.zeros((big // 300, 10, 10, 3), np.uint8))
    with pytest.raises(InputError, match=r"bomb\.npz unpacks from"):
        open_source(tmp_path / "bomb.npz")
    # A head that promises more than there is asks for no memory.
    head = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (4_000_000, 1000, 1000))
    (tmp_path / "x-idx3-ubyte").write_bytes(head)
    with pytest.raises(InputError, match="it holds 0"):
        open_source(tmp_path / "x-idx3-ubyte")

    (tmp_path / "y-idx3-ubyte.gz").write_bytes(gzip.compress(head))
    with pytest.raises(InputError, match="unpack"):
        open_source(tmp_path / "y-idx3-ubyte.gz")


def test_encrypted_and_unknown_compressions_are_named(tmp_path: Path):
    path = write_zip(tmp_path / "x.zip", {"a/1.png": picture(), "b/1.png": picture()})
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")
    content[6] |= 1
    content[at + 8] |= 1
    (tmp_path / "one.zip").write_bytes(bytes(content))
    source = open_source(tmp_path / "one.zip", warn=False)
    with pytest.raises(InputError, match=r"a/1\.png is encrypted"):
        source.read(0)
    assert source.read(1).shape == (10, 12, 3)
    second = content.index(b"PK\x01\x02", at + 1)
    content[second + 8] |= 1
    (tmp_path / "both.zip").write_bytes(bytes(content))
    with pytest.raises(InputError, match="as all images in it are"):
        open_source(tmp_path / "both.zip")
    content = bytearray(path.read_bytes())
    content[at + 10] = 98
    (tmp_path / "ppmd.zip").write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"a/1\.png cannot be .*compression"):
        open_source(tmp_path / "ppmd.zip", warn=False).read(0)
