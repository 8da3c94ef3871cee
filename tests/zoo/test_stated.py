"""What a file states of its encoder goes before every guess, and a wrong statement is an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mgm_converters import Conversion, convert
from mgm_converters.recognition.evidence.file import read_statement
from mgm_jax.encoders import Preprocess, ViTSpec, read_encoder
from mgm_jax.errors import InputError
from tests.zoo.weights import INPUT, TRAINING, resnet_state, stated, vit_state, write

FILE = Path("one.safetensors")


def converted(tmp_path: Path, state: Any, metadata: dict[str, str], **options: Any) -> Conversion:
    name = options.pop("name", "weights.safetensors")
    return convert(write(tmp_path / name, state, metadata), verify=False, **options)


def test_what_a_file_states_is_the_encoder(tmp_path: Path) -> None:
    changed = INPUT | {"resize": 70, "interpolation": "bicubic", "std": [0.5, 0.4, 0.3]}
    metadata = stated("MAE", "masked", heads=6, mgm_input=json.dumps(changed))
    made = converted(tmp_path, vit_state(dim=24), metadata, out=tmp_path / "out")
    spec = made.encoder.spec
    assert isinstance(spec, ViTSpec) and spec.heads == 6 and spec.embed_dim == 24
    assert made.encoder.preprocess == Preprocess.from_dict(changed)
    meta = read_encoder(tmp_path / "out").meta
    assert (meta["method"], meta["paradigm"], meta["training"]) == ("MAE", "masked", TRAINING)
    text = "\n".join(made.report.lines())
    assert "masked, MAE (stated by the file)" in text and "in doubt" not in text
    said = next(line for line in made.report.lines() if line.startswith("stated"))
    assumed = next(line for line in made.report.lines() if line.startswith("assumed"))
    assert "6 heads" in said and "short side 70" in said
    assert "heads" not in assumed and "short side" not in assumed and "epsilon" in assumed


def test_without_heads_an_unknown_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="number of attention heads"):
        converted(tmp_path, vit_state(dim=24), stated())


def test_a_statement_goes_before_the_name_of_the_file(tmp_path: Path) -> None:
    state = resnet_state()
    guessed = converted(tmp_path, state, {}, name="simclr-v1.safetensors")
    assert guessed.report.method == "SimCLR-v1" and guessed.report.guessed
    metadata = stated("BYOL", "non-contrastive")
    told = converted(tmp_path, state, metadata, name="simclr-v1.safetensors")
    assert (told.report.method, told.report.paradigm) == ("BYOL", "non-contrastive")
    assert not told.report.guessed


def test_a_given_input_goes_before_the_stated_one(tmp_path: Path) -> None:
    mine = Preprocess(size=64, resize=80)
    made = converted(tmp_path, resnet_state(), stated(), preprocess=mine)
    assert made.encoder.preprocess == mine
    assert not made.report.stated and "(given)" in made.report.assumptions[-1]


def test_part_of_a_statement_leaves_the_rest_to_the_method(tmp_path: Path) -> None:
    # SwAV's own deviation of red, and its paradigm, follow from its name alone.
    swav = converted(tmp_path, resnet_state(), {"mgm_method": "SwAV"})
    assert swav.report.paradigm == "clustering" and swav.encoder.preprocess.std[0] == 0.228
    mine = converted(tmp_path, resnet_state(), {"mgm_method": "Mine", "mgm_paradigm": "odd"})
    assert mine.report.paradigm == "odd" and "--mean" in mine.report.doubt


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("mgm_input", "size 64", "expected JSON"),
        ("mgm_input", "[64]", "JSON object"),
        (
            "mgm_input",
            json.dumps({"size": 64}),
            "resize.*missing",
        ),
        ("mgm_input", json.dumps(INPUT | {"size": "64"}), "whole pixels for size"),
        ("mgm_input", json.dumps(INPUT | {"mean": [0.5, "x", 0.5]}), "three numbers for mean"),
        ("mgm_input", json.dumps(INPUT | {"std": [0.5, 0.5]}), "3 values"),
        ("mgm_input", json.dumps(INPUT | {"interpolation": "sinc"}), "interpolation"),
        ("mgm_input", json.dumps(INPUT | {"crop": 3}), "crop"),
        ("mgm_heads", "three", "whole number"),
        ("mgm_heads", "0", "whole number"),
        ("mgm_method", " ", "expected a name"),
        ("mgm_training", "{", "expected JSON"),
        ("mgm_training", '{"epochs": -1}', "0 or more epochs"),
        ("mgm_training", '{"knn": {"unseen": 31.2}}', r"accuracy in \[0, 1\]"),
        ("mgm_hedas", "3", "mgm_hedas"),
    ],
)
def test_a_wrong_statement_is_named(key: str, text: str, said: str) -> None:
    with pytest.raises(InputError, match=rf"one\.safetensors: .*{key}.*{said}|{key}.*no meaning"):
        read_statement(stated() | {key: text}, file=FILE)


def test_other_metadata_is_nobodys_statement() -> None:
    assert read_statement({"format": "pt"}, file=FILE) == read_statement({}, file=FILE)


@pytest.mark.parametrize(
    ("state", "heads", "said"),
    [
        (vit_state(dim=24), 5, "5 attention heads, but they do not divide .* 24"),
        (resnet_state(), 3, "weights are of a resnet"),
    ],
)
def test_heads_that_do_not_fit(tmp_path: Path, state: Any, heads: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        converted(tmp_path, state, stated(heads=heads))
