"""Sources of the user's folder of data: found, replaced loudly, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mgm_jax.data_folder import VARIABLE, with_data
from mgm_jax.errors import InputError
from mgm_jax.study import Study, make_study, read_study
from tests.launch import ROOT

EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))


def study(**image: object) -> Study:
    encoders = [
        {"source": "data:nets/*.pth", "fallback": "zoo:all"},
        {"source": "data:more/a.pth", "fallback": "zoo:all"},
    ]
    return make_study({"encoders": encoders, "images": [{"source": "data:set", **image}]})


def test_sources_are_found_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nets/x.pth", "more/a.pth", "set/a/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    result, notes = with_data(study(per_class=3))
    assert not notes
    assert [one.source for one in result.encoders] == [
        f"{tmp_path}/nets/*.pth",
        f"{tmp_path}/more/a.pth",
    ]
    assert result.images[0].source == f"{tmp_path}/set" and result.images[0].per_class == 3
    rows = make_study({"encoders": [{"source": "pixels"}], "images": [{"source": "rows:data:set"}]})
    assert with_data(rows)[0].images[0].source == f"rows:{tmp_path}/set"
    images = [{"source": "digits"}]
    graph = [{"source": "onnx:data:nets/x.pth"}, {"source": "onnx:data:no", "fallback": "pixels"}]
    result, notes = with_data(make_study({"encoders": graph, "images": images}))
    assert [one.source for one in result.encoders] == [f"onnx:{tmp_path}/nets/x.pth", "pixels"]
    assert len(notes) == 1
    plain = make_study({"encoders": [{"source": "pixels"}], "images": [{"source": "digits"}]})
    assert with_data(plain)[0] == plain


def test_what_stands_in_is_said_in_words_and_in_the_name(tmp_path: Path) -> None:
    result, notes = with_data(study(fallback="digits", name="photos", classes=["x"]), tmp_path)
    assert [one.source for one in result.encoders] == ["zoo:all"], "once, whatever it stands for"
    image = result.images[0]
    assert (image.source, image.name) == ("digits", "photos (digits instead)")
    assert image.classes is None, "the classes were those of the other set"
    assert len(notes) == 2, "one for each that stands in"
    assert "data:nets/*.pth, data:more/a.pth are not there; zoo:all STANDS IN FOR THEM" in notes[0]
    assert "digits STANDS IN FOR IT" in notes[1]
    assert str(tmp_path / "set") in notes[-1] and "docs/data.md" in notes[-1]


def test_without_a_fallback_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(InputError, match=r"images: data:set .*--data DIR or MGM_JAX_DATA"):
        with_data(study())
    with pytest.raises(InputError, match=rf"images: Expected {tmp_path}/set"):
        with_data(study(), tmp_path)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_examples_run_from_a_fresh_clone(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    made, _ = with_data(read_study(file))
    paths = [file.parent / one.source for one in made.encoders if "/" in one.source]
    # What a user trains first lies in the clone too.
    assert all(path.resolve().is_relative_to(ROOT) for path in paths)
    assert all(one.source in ("digits", "photo-patches") for one in made.images)
