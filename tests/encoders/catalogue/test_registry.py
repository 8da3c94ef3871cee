"""Names of architectures and the one way to an encoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.encoders import ARCHITECTURES, load_encoder, save_encoder, to_params
from mgm_jax.encoders.catalogue.registry import VIT_SIZES
from mgm_jax.encoders.forward import build_module
from mgm_jax.encoders.untrained import random_state
from mgm_jax.errors import InputError


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "conv4",
        "resnet20",
        "resnet18_cifar",
        "resnext50_32x4d",
        "convnext_tiny",
        "convnextv2_atto",
        "swin_tiny",
        "mobilenet_v2",
        "tf_efficientnet_lite0",
        "vit_mini",
        "pixels",
    ],
)
def test_parameters_are_those_the_module_declares(name: str) -> None:
    spec = ARCHITECTURES[name].spec
    blank = jax.ShapeDtypeStruct((1, spec.image_size, spec.image_size, 3), jnp.float32)
    declared = jax.eval_shape(build_module(spec).init, jax.random.key(0), blank)
    ours = to_params(spec, random_state(spec, seed=0))
    assert jax.tree.map(lambda leaf: leaf.shape, dict(declared.get("params", {}))) == jax.tree.map(
        lambda leaf: leaf.shape, ours
    )


def test_every_size_and_depth_is_there() -> None:
    assert {f"resnet{depth}" for depth in (18, 20, 32, 34, 44, 50, 56, 101, 152)} <= set(
        ARCHITECTURES
    )
    assert {f"vit_{size}16" for size in VIT_SIZES} <= set(ARCHITECTURES)
    for architecture in ARCHITECTURES.values():
        assert architecture.preprocess.size == architecture.spec.image_size
        assert architecture.description
        assert architecture.citation


def test_name_seed_and_size() -> None:
    encoder = load_encoder("resnet18_cifar:size=24:seed=3")
    assert encoder.name == "resnet18_cifar:size=24:seed=3"
    assert encoder.preprocess.size == encoder.spec.image_size == 24
    assert encoder.meta["paradigm"] == "untrained"
    assert encoder.meta["seed"] == 3
    assert load_encoder("conv4").name == "conv4:seed=0"
    assert load_encoder("pixels").name == "pixels"


def test_size_keeps_the_ratio_of_the_cut() -> None:
    for name in ("conv4:size=64", "resnet18:size=64", "pixels:size=64", "vit_mini"):
        preprocess = load_encoder(name).preprocess
        assert (preprocess.size, preprocess.resize) == (64, 73)


def test_seeds_differ_and_repeat() -> None:
    zero, again, one = (load_encoder(f"conv4:seed={seed}") for seed in (0, 0, 1))
    assert zero.digest == again.digest != one.digest


def test_a_saved_folder_loads_under_its_own_or_another_name(tmp_path: Path) -> None:
    encoder = load_encoder("conv4:size=32")
    folder = save_encoder(encoder, tmp_path / "e")
    assert load_encoder(folder).name == encoder.name
    other = replace(encoder.preprocess, resize=50)
    changed = load_encoder(str(folder), name="mine", preprocess=other, dtype="bfloat16")
    assert (changed.name, changed.preprocess, changed.dtype) == ("mine", other, "bfloat16")
    image = np.zeros((1, 40, 40, 3), np.uint8)
    np.testing.assert_array_equal(load_encoder(folder)(image), encoder(image))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet19", "did you mean resnet1"),
        ("zzz", "mgm models"),
        ("conv4:depth=3", "expected options among seed"),
        ("conv4:seed=x", "expected options among seed"),
        ("conv4:seed=1:seed=2", "at most once"),
        ("vit_mini:size=63", "multiple of the patch"),
    ],
)
def test_unknown_names_and_options_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_encoder(text)


def test_a_checkpoint_file_points_to_the_converter(tmp_path: Path) -> None:
    file = tmp_path / "resnet50.pth"
    file.write_bytes(b"PK")
    with pytest.raises(InputError, match=r"mgm convert .*resnet50\.pth -o DIR"):
        load_encoder(file)
