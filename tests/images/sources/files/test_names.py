"""Names that are no UTF-8, composed in two ways, or hold what cannot be seen."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mgm_jax.images.sources.files.names import distinct_ids, look_alikes, visible
from mgm_jax.images.sources.open_source import open_source
from tests.images.pictures import random_pixels, write_picture

NAMES = {
    b"caf\xe9.png": "caf\\xe9.png",
    b"new\nline.png": "new\\x0aline.png",
    b"bell\x07.png": "bell\\x07.png",
    "zero\u200bwidth.png".encode(): "zero\\u200bwidth.png",
    "right\u202eleft.png".encode(): "right\\u202eleft.png",
    "wide\u00a0space.png".encode(): "wide\\xa0space.png",
    "cafe\u0301.png".encode(): "caf\u00e9.png",
    "\U0001f98a.png".encode(): "\U0001f98a.png",
    b" a .png": "\\x20a .png",
    b"plain name.png": "plain name.png",
    b"a" * 250 + b".png": "a" * 250 + ".png",
}


def test_every_name_becomes_text_that_can_be_seen_and_stored(tmp_path: Path):
    folder = tmp_path / "set" / "x"
    folder.mkdir(parents=True)
    for position, raw in enumerate(NAMES):
        write_picture(tmp_path / "one.png", random_pixels(position))
        os.rename(tmp_path / "one.png", os.fsencode(folder) + b"/" + raw)
    source = open_source(tmp_path / "set", warn=False)
    assert set(source.ids) == {f"x/{shown}" for shown in NAMES.values()}
    for position, shown in enumerate(NAMES.values()):
        result = source.read(source.ids.index(f"x/{shown}"))
        np.testing.assert_array_equal(result, random_pixels(position))
    assert all(one.encode().decode().isprintable() for one in source.ids)


def test_one_name_composed_in_two_ways_is_two_images_of_one_class(tmp_path: Path):
    for position, form in enumerate(("caf\u00e9", "cafe\u0301")):
        write_picture(tmp_path / "set" / form / "1.png", random_pixels(position))
    write_picture(tmp_path / "set" / "tea" / "1.png", random_pixels(2))
    if len(list((tmp_path / "set").iterdir())) < 3:
        pytest.skip("this file system composes names itself")
    source = open_source(tmp_path / "set", warn=False)
    assert source.classes == ("caf\u00e9", "tea") and source.labels.tolist() == [0, 0, 1]
    assert source.ids == ("cafe\\u0301/1.png", "caf\u00e9/1.png", "tea/1.png")
    np.testing.assert_array_equal(source.read(0), random_pixels(1))


def test_ids_stay_apart_whatever_is_escaped():
    raws = ["b/e\u0301.png", "b/\u00e9.png", "b/x.png"]
    ids = [visible(raw) for raw in raws]
    assert ids[0] == ids[1]
    assert distinct_ids(raws, ids) == ("b/e\\u0301.png", "b/\u00e9.png", "b/x.png")
    assert look_alikes(["cat", "dog"]) == []
    assert look_alikes(["cat", "cat\\x20", "\uff43at"]) == [("cat", "cat\\x20", "\uff43at")]
