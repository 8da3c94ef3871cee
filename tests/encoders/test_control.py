"""The untrained control of an encoder: its network and input, other weights."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mgm_jax.encoders import (
    PUBLISHED,
    CifarResNetSpec,
    Encoder,
    Preprocess,
    load_encoder,
    random_state,
    untrained_control,
)
from mgm_jax.errors import InputError


@pytest.fixture(scope="module")
def trained() -> Encoder:
    """Stands for a converted checkpoint: an odd epsilon and an input of its own."""
    spec = CifarResNetSpec(blocks=1, batch_norm_eps=1e-3)
    return Encoder.from_state(
        {name: value + 0.01 for name, value in random_state(spec, seed=9).items()},
        name="mine",
        spec=spec,
        preprocess=Preprocess(size=32, resize=40, mean=(0.1, 0.2, 0.3)),
        meta={"architecture": "resnet8", "paradigm": "contrastive", "sha256": "ab"},
    )


def test_everything_but_the_weights_stays(trained: Encoder) -> None:
    control = untrained_control(trained, seed=4)
    assert control.spec == trained.spec and control.preprocess == trained.preprocess
    expected = random_state(trained.spec, seed=4)
    from_scratch = Encoder.from_state(
        expected, name="x", spec=trained.spec, preprocess=trained.preprocess
    )
    assert control.weights_sha256 == from_scratch.weights_sha256 != trained.weights_sha256
    assert control.meta["paradigm"] == "untrained" and control.meta["seed"] == 4
    assert control.meta["control_of"] == "mine" and "sha256" not in control.meta
    assert untrained_control(trained, seed=5).digest != control.digest


def test_a_published_name_needs_no_file() -> None:
    control = untrained_control("simclr_v1", seed=1, size=64, name="c")
    one = PUBLISHED["simclr_v1"]
    assert control.spec == replace(one.spec, image_size=64)
    assert control.preprocess == replace(one.preprocess, size=64, resize=73)
    # The names of weights decide their values, so the plain architecture draws the same.
    assert control.weights_sha256 == load_encoder("resnet50:seed=1").weights_sha256
    assert (control.default_tap, control.width()) == ("pool", 2048)


@pytest.mark.parametrize(
    ("of", "options", "message"),
    [
        ("resnet50", {}, "no published encoder"),
        ("dino_resnet50", {"seed": -1}, "seed: expected"),
        ("dino_vits16", {"size": 50}, "multiple of the patch"),
    ],
)
def test_what_cannot_be_drawn_is_refused(of: str, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        untrained_control(of, **options)


def test_pixels_have_no_control() -> None:
    with pytest.raises(InputError, match="pixels have no weights"):
        untrained_control(load_encoder("pixels"))
