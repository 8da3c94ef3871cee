"""Settings by name and from plain data."""

from __future__ import annotations

import pytest
import yaml

from mgm_jax.errors import InputError
from mgm_jax.images.operations import OPERATIONS, Affine, Flip
from mgm_jax.images.settings import SETTINGS, Setting, find_setting, setting_from_config


def test_the_study_and_the_vocabulary_are_there():
    study = {"semantic", "augs", "crop", "colorjitter", "rotation"}
    single = {
        "turn", "translation", "scale", "shear", "resized_crop", "hflip", "vflip", "deform", "grey",
        "brightness", "contrast", "saturation", "hue", "blur", "sharpness", "invert", "equalize",
        "posterize",
    }  # fmt: skip
    assert set(SETTINGS) == study | single
    used = {type(operation) for s in SETTINGS.values() for operation in s.operations}
    assert used == set(OPERATIONS.values())


def test_settings_are_values():
    assert find_setting("augs") is SETTINGS["augs"]
    again = Setting(name="rotation", operations=(Affine(degrees=180.0), Flip(probability=0.5)))
    assert again == SETTINGS["rotation"]
    assert hash(again) == hash(SETTINGS["rotation"])
    assert again.digest == SETTINGS["rotation"].digest
    assert len({s.digest for s in SETTINGS.values()}) == len(SETTINGS)


def test_a_setting_from_yaml():
    config = yaml.safe_load("[grey, {affine: {degrees: 15, scale: [0.9, 1.1]}}, {flip: }]")
    setting = setting_from_config("soft", config)
    assert [type(o).__name__ for o in setting.operations] == ["Grey", "Affine", "Flip"]
    assert setting.operations[1] == Affine(degrees=15, scale=(0.9, 1.1))


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ("flip", "list of operations"),
        (["swirl"], "no operation is called 'swirl'"),
        ([{"flip": {"chance": 1}}], "no parameter 'chance'"),
        ([{"flip": {"probability": 3}}], "probability"),
        ([{"flip": 0.5}], "by name"),
        ([{"flip": {}, "grey": {}}], "an operation is a name"),
        ([3], "an operation is a name"),
    ],
)
def test_mistakes_in_a_config_are_named(config, named):
    with pytest.raises(InputError, match=named):
        setting_from_config("mine", config)


def test_names_are_checked():
    with pytest.raises(InputError, match=r"'crops'.*Known: semantic, augs"):
        find_setting("crops")
    with pytest.raises(InputError, match="built in"):
        setting_from_config("augs", ["flip"])
    with pytest.raises(InputError, match="name of a setting"):
        Setting(name="a/b")
    with pytest.raises(InputError, match="operations"):
        Setting(name="a", operations=(print,))  # type: ignore[arg-type]
