"""Folders: each real file once, links and oddities named, the content checked when it is read."""

from __future__ import annotations

import os
import socket
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mgm_jax.errors import InputError
from mgm_jax.images import ImageChanged, Limits
from mgm_jax.images.decoding.formats import image_suffixes, open_formats
from mgm_jax.images.sources.open_source import open_source
from tests.images.pictures import random_pixels, write_classes, write_picture


def quiet(path: Path, **options):
    return open_source(path, warn=False, **options)


def reasons(source) -> dict[str, int]:
    return {one.reason: one.count for one in source.passed_over}


def test_links_in_a_circle_and_second_names_are_counted_once(tmp_path: Path):
    root = write_classes(tmp_path / "sets" / "pets", classes=2, images=2)
    write_picture(tmp_path / "sets" / "stranger.png", random_pixels(5))
    for name, target in {
        "a/up": "..",
        "a/self": ".",
        "b/outside": "../..",
        "c": "a",
        "b/again.png": "../a/0.png",
    }.items():
        (root / name).symlink_to(target)
    os.link(root / "a" / "1.png", root / "b" / "hard.png")
    source = quiet(root)
    assert source.ids == ("a/0.png", "a/1.png", "b/0.png", "b/1.png")
    assert source.classes == ("a", "b")
    told = reasons(source)
    assert told["a link in a circle, back to a folder above it"] == 2
    assert told["a link to the folder 'a', read under that name"] == 2
    assert told["links to files that are read under another name"] == 1
    assert told["second names (hard links) of files that are read under their first"] == 1
    with pytest.warns(UserWarning, match=r"link in a circle.*b/outside"):
        open_source(root)


def test_classes_that_are_links_to_elsewhere_are_read_once_each(tmp_path: Path):
    real = write_classes(tmp_path / "all", classes=3, images=2)
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    for name in ("a", "b", "b_too"):
        (chosen / name).symlink_to(real / name[0])
    (chosen / "c").mkdir()
    (chosen / "c" / "x.png").symlink_to(real / "c" / "0.png")
    (chosen / "c" / "y.png").symlink_to(real / "c" / "0.png")
    source = quiet(chosen)
    assert source.ids == ("a/0.png", "a/1.png", "b/0.png", "b/1.png", "c/x.png")
    assert sum(reasons(source).values()) == 2
    np.testing.assert_array_equal(source.read(4), random_pixels(20, 10, 14))


def test_pipes_sockets_and_folders_called_like_images_do_not_hang(tmp_path: Path):
    root = write_classes(tmp_path / "pets", classes=2, images=1)
    os.mkfifo(root / "a" / "pipe.png")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(root / "a" / "s.png"))
        (root / "a" / "null.png").symlink_to("/dev/null")
        (root / "a" / "folder.png").mkdir()
        source = quiet(root)
    assert source.ids == ("a/0.png", "b/0.png")
    assert reasons(source) == {
        "a pipe, not opened": 1,
        "a socket, not opened": 1,
        "a device, not opened": 1,
    }
    with pytest.raises(InputError, match="is a pipe; expected a folder"):
        open_source(root / "a" / "pipe.png")
    os.rename(root / "a" / "pipe.png", tmp_path / "pets.zip")
    with pytest.raises(InputError, match="is a pipe"):
        open_source(tmp_path / "pets.zip")


def test_an_image_turned_into_a_pipe_is_not_waited_for(tmp_path: Path):
    root = write_classes(tmp_path / "pets", classes=1, images=2)
    source = quiet(root)
    (root / "a" / "1.png").unlink()
    os.mkfifo(root / "a" / "1.png")
    with pytest.raises(ImageChanged, match=r"a/1\.png can no longer be read.*a pipe"):
        source.read(1)


def test_what_cannot_be_read_counts_as_an_image_and_is_named(tmp_path: Path):
    root = write_classes(tmp_path / "pets", classes=1, images=1)
    (root / "a" / "gone.png").symlink_to("nowhere.png")
    (root / "a" / "none.png").write_bytes(b"")
    (root / "a" / "pointer.png").write_text("version https://git-lfs.github.com/spec/v1\n")
    (root / "a" / "zeros.png").write_bytes(bytes(900))
    source = quiet(root)
    assert len(source) == 5
    for name, said in {
        "gone": "No such file",
        "none": r"empty \(0 bytes\)",
        "pointer": "Git LFS",
        "zeros": "900 bytes of zero",
    }.items():
        with pytest.raises(InputError, match=rf"a/{name}\.png .*{said}") as caught:
            source.read(source.ids.index(f"a/{name}.png"))
        assert not isinstance(caught.value, ImageChanged)


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path, monkeypatch):
    root = write_classes(tmp_path / "pets", classes=2, images=1)
    scan = os.scandir

    def denied(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(InputError, match=r"pets/b cannot be listed: Permission denied"):
        quiet(root)


@pytest.mark.parametrize("harm", ["replaced", "removed", "same size and times"])
def test_an_image_that_changes_after_the_opening_is_never_read(tmp_path: Path, harm: str):
    root = write_classes(tmp_path / "pets", classes=1, images=2)
    path = root / "a" / "1.png"
    source, before, facts = quiet(root), path.read_bytes(), path.stat()
    digest = source.digest
    if harm == "removed":
        path.unlink()
    elif harm == "replaced":
        write_picture(path, random_pixels(77))
    else:
        middle = len(before) // 2
        path.write_bytes(before[:middle] + bytes([before[middle] ^ 1]) + before[middle + 1 :])
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        assert path.stat().st_size == facts.st_size
        assert quiet(root).digest != digest
    with pytest.raises(ImageChanged, match=r"a/1\.png"):
        source.read(1)
    assert source.read(0).shape == (10, 12, 3)
    path.write_bytes(before)
    assert source.read(1).shape == (11, 12, 3)


def test_every_format_that_pillow_writes_here_is_read(tmp_path: Path):
    pixels = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    wrote = set()
    for suffix, kind in image_suffixes().items():
        path = tmp_path / "set" / f"one{suffix.upper()}"
        path.parent.mkdir(exist_ok=True)
        picture = Image.fromarray(pixels)
        picture = picture.convert("1") if kind in ("MSP", "XBM") else picture
        picture = picture.convert("L") if kind in ("BLP", "PALM") else picture
        try:
            picture.save(path, kind)
            wrote.add(path.name)
        except Exception:
            # A format that Pillow reads and does not write.
            path.unlink(missing_ok=True)
    source = quiet(tmp_path / "set")
    assert set(source.ids) == wrote and not source.passed_over
    assert {".JPG", ".JFIF", ".JPE", ".WEBP", ".GIF", ".PNM", ".TGA", ".ICO", ".APNG"} <= {
        Path(one).suffix for one in source.ids
    }
    colours = [source.read(i).mean(axis=(0, 1)) for i in range(len(source))]
    exact = [np.abs(colour - pixels[0, 0]).max() < 12 for colour in colours]
    grey = [np.ptp(colour) == 0 for colour in colours]
    assert np.all(np.logical_or(exact, grey)) and sum(exact) > 20


def test_what_is_passed_over_is_counted_with_its_reason(tmp_path: Path):
    root = write_classes(tmp_path / "pets", classes=2, images=1)
    harmless = ("notes.txt", ".DS_Store", "Thumbs.db", "README", "._0.png", "boxes.xml")
    doubtful = ("one.heic", "two.jxl", "three.svg", "four", "five.weird", "six.mp4", "7.zip")
    for name in harmless + doubtful:
        (root / "a" / name).write_bytes(b"x")
    write_picture(root / "__MACOSX" / "a" / "0.png", random_pixels(0))
    source = quiet(root)
    assert len(source) == 2
    assert sum(one.count for one in source.passed_over) == len(harmless) + len(doubtful) + 1
    for name in doubtful:
        [one] = [one for one in source.passed_over if f"a/{name}" in one.examples]
        assert not one.harmless
    with pytest.warns(UserWarning, match="HEIF, which Pillow cannot decode") as caught:
        open_source(root)
    assert not any(name in str(caught[0].message) for name in harmless)
    for name in doubtful:
        (root / "a" / name).unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_source(root)


def test_ghostscript_and_the_like_are_never_started_by_a_name(tmp_path: Path):
    root = write_classes(tmp_path / "pets", classes=1, images=1)
    Image.new("RGB", (8, 8)).save(tmp_path / "x.eps", "EPS")
    os.rename(tmp_path / "x.eps", root / "a" / "1.png")
    with pytest.raises(InputError, match=r"a/1\.png .* a PostScript page"):
        quiet(root).read(1)
    assert "EPS" not in open_formats()


def test_limits_are_named_and_can_be_raised(tmp_path: Path):
    root = tmp_path / "pets"
    write_picture(root / "a" / "0.png", np.zeros((6000, 6000), np.uint8))
    write_picture(root / "b" / "0.png", random_pixels(0, 40, 50))
    source = quiet(root, limits=Limits(ratio=100, pixels=40_000_000))
    assert source.read(1).shape == (40, 50, 3)
    with pytest.raises(InputError, match=r"a/0\.png has 36,000,000 pixels.*limits: {pixels"):
        quiet(root, limits=Limits(pixels=10**6)).read(0)
    for limits, said in (
        (Limits(file_bytes=3000), "file_bytes"),
        (Limits(files=1), "2 image files"),
    ):
        with pytest.raises(InputError, match=said):
            quiet(root, limits=limits).read(0)
    with pytest.raises(InputError, match="ratio must be a whole number"):
        Limits(ratio=0)


def test_a_picture_that_unpacks_to_far_more_than_it_stores_is_refused():
    """A small file of one colour, some 70 MB in memory, against a limit that lets it through."""
    from mgm_jax.images.decoding.decode import decode_image
    from tests.images.test_decode import encoded

    content = encoded(Image.new("RGB", (4200, 4100)))
    with pytest.raises(InputError, match=r"x unpacks from .* raise it: `limits: {ratio"):
        decode_image(content, name="x")
    assert decode_image(content, name="x", limits=Limits(ratio=2000)).shape == (4100, 4200, 3)
