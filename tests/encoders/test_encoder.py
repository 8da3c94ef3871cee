"""Encoder: images and views in, features out, one compilation for all of one spec."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.encoders import (
    CifarResNetSpec,
    Conv4Spec,
    Encoder,
    EncoderSpec,
    PixelsSpec,
    Preprocess,
    ResNetSpec,
    ViTSpec,
)
from mgm_jax.encoders.catalogue.registry import load_encoder
from mgm_jax.encoders.forward import forward
from mgm_jax.encoders.framing import frame
from mgm_jax.errors import InputError
from tests.encoders.oracles import busy_state, encoder_of, views_of

CONV4 = Conv4Spec(image_size=32, channels=8)
VIT = ViTSpec(image_size=16, patch=8, embed_dim=12, layers=2, heads=2, mlp_dim=24)
SPECS: list[EncoderSpec] = [
    CONV4,
    CifarResNetSpec(blocks=1, channels=4, image_size=16),
    ResNetSpec(blocks=(1, 1), block="bottleneck", channels=4, image_size=32),
    replace(VIT, registers=2),
    replace(VIT, class_token=False),
    PixelsSpec(image_size=8),
]


def conv4(seed: int = 0) -> Encoder:
    return Encoder.from_state(
        busy_state(CONV4, seed=seed),
        name=f"conv4-{seed}",
        spec=CONV4,
        preprocess=Preprocess(size=32, resize=36, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)),
    )


def photos(count: int, height: int = 50, width: int = 41) -> np.ndarray:
    rng = np.random.default_rng(count)
    return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.family)
def test_every_tap_has_its_width_and_is_pooled_as_documented(spec: EncoderSpec) -> None:
    encoder = encoder_of(spec, busy_state(spec))
    views = views_of(spec)
    features = encoder.features(views, taps=encoder.taps)
    activations = encoder.activations(views, taps=encoder.taps)
    for tap in encoder.taps:
        value = np.asarray(activations[tap], np.float64)
        if value.ndim == 4:
            value = value.mean(axis=(1, 2))
        elif value.ndim == 3 and isinstance(spec, ViTSpec) and tap != "patch_embed":
            value = value[:, 0] if spec.class_token else value.mean(axis=1)
        elif value.ndim == 3:
            value = value.mean(axis=1)
        assert features[tap].shape == (2, encoder.width(tap))
        assert features[tap].dtype == jnp.float32
        np.testing.assert_allclose(features[tap], value, rtol=1e-5, atol=1e-5)


def test_call_frames_normalises_and_reads_the_default_tap() -> None:
    encoder, images = conv4(), photos(3)
    views = frame(jnp.asarray(images), encoder.preprocess)
    expected = encoder.features(views)["flatten"]
    np.testing.assert_allclose(encoder(images), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        encoder(images, "block1"), encoder.features(views, taps="block1")["block1"], rtol=1e-5
    )


def test_mean_and_deviation_are_applied_inside() -> None:
    plain = encoder_of(CONV4, busy_state(CONV4))
    views = views_of(CONV4)
    expected = plain.features((views - np.float32([0.5, 0.4, 0.3])) / np.float32([0.2, 0.3, 0.4]))
    got = conv4().features(views)
    np.testing.assert_allclose(got["flatten"], expected["flatten"], rtol=1e-4, atol=1e-4)


def test_batch_size_does_not_change_features() -> None:
    encoder, images = conv4(), photos(7)
    whole = np.asarray(encoder(images))
    np.testing.assert_allclose(encoder(images, batch_size=3), whole, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(encoder(images[4:5])[0], whole[4], rtol=1e-5, atol=1e-5)


def test_encoders_of_one_spec_share_one_compilation() -> None:
    views = views_of(CONV4)
    first = conv4(0).features(views, taps=("block0",))
    compiled = forward._cache_size()
    other = replace(conv4(1), preprocess=Preprocess(size=32, resize=32))
    second = other.features(views, taps=("block0",))
    assert forward._cache_size() == compiled
    assert not np.allclose(first["block0"], second["block0"])


def test_features_may_be_called_inside_jit() -> None:
    encoder, views = conv4(), views_of(CONV4)
    inside = jax.jit(lambda v: encoder.features(v, taps=("block2", "flatten")))(views)
    outside = encoder.features(views, taps=("block2", "flatten"))
    for tap in inside:
        np.testing.assert_allclose(inside[tap], outside[tap], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spec", [CONV4, VIT], ids=lambda spec: spec.family)
def test_bfloat16_is_close_and_comes_back_as_float32(spec: EncoderSpec) -> None:
    encoder = encoder_of(spec, busy_state(spec))
    views = views_of(spec)
    exact = np.asarray(encoder.features(views)[encoder.default_tap])
    got = encoder.with_dtype("bfloat16").features(views)[encoder.default_tap]
    assert got.dtype == jnp.float32
    cosine = np.sum(exact * got, 1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(got, axis=1)
    assert cosine.min() > 0.999
    assert not np.array_equal(exact, got)


def test_digest_follows_what_decides_a_feature() -> None:
    encoder = conv4()
    assert encoder.digest == replace(conv4(), name="other", meta={"source": "web"}).digest
    changed = [
        conv4(1),
        encoder.with_dtype("bfloat16"),
        replace(encoder, preprocess=replace(encoder.preprocess, resize=40)),
        encoder_of(replace(CONV4, batch_norm_eps=1e-3), busy_state(CONV4)),
    ]
    assert len({encoder.digest, *(other.digest for other in changed)}) == 5


def test_pixels_are_flattened_row_by_row() -> None:
    spec = PixelsSpec(image_size=8)
    views = views_of(spec)
    np.testing.assert_array_equal(
        encoder_of(spec, {}).features(views)["flatten"], views.reshape(2, -1)
    )


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 8, 8, 1), np.uint8), r"expected \[b, h, w, 3\]"),
        (np.zeros((8, 8, 3), np.uint8), r"expected \[b, h, w, 3\]"),
        (np.zeros((0, 8, 8, 3), np.uint8), "at least one image"),
        (np.zeros((1, 8, 8, 3), np.float32), "encoder.features"),
    ],
)
def test_other_images_are_refused(images: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        conv4()(images)


@pytest.mark.parametrize(
    ("views", "message"),
    [
        (np.zeros((1, 31, 32, 3), np.float32), r"expects \[b, 32, 32, 3\]"),
        (np.zeros((1, 32, 32, 3), np.uint8), "expected float values"),
    ],
)
def test_other_views_are_refused(views: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        conv4().features(views)


def test_unknown_tap_precision_and_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="tap pool does not exist"):
        conv4().features(views_of(CONV4), taps=["pool"])
    with pytest.raises(InputError, match="float32 or bfloat16"):
        conv4().with_dtype("float16")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the network takes 32 pixels"):
        replace(conv4(), preprocess=Preprocess(size=84, resize=96))
    with pytest.raises(InputError, match="batch_size"):
        conv4()(photos(1), batch_size=0)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("conv4:size=32", 4),
        ("conv4:size=32", 7),
        ("conv4:size=32", 9),
        pytest.param("resnet18:size=32", 7, marks=pytest.mark.nightly),
    ],
)
def test_an_image_has_the_same_features_in_any_company(name: str, count: int):
    """The CPU walks through a batch by parts; the last one is filled up."""
    encoder = load_encoder(f"{name}:seed=0")
    views = np.random.default_rng(0).random((count, 32, 32, 3), np.float32)
    together = encoder.features(views)[encoder.default_tap]
    alone = np.concatenate([encoder.features(view[None])[encoder.default_tap] for view in views])
    assert together.shape == alone.shape
    np.testing.assert_allclose(together, alone, rtol=0, atol=2e-5 * np.abs(alone).max())


def test_images_may_be_a_tensor_and_what_is_no_array_is_named() -> None:
    torch = pytest.importorskip("torch")
    images = photos(2)
    np.testing.assert_array_equal(conv4()(torch.from_numpy(images)), conv4()(images))
    for wrong, kind in ((list(images), "list"), (None, "NoneType")):
        with pytest.raises(InputError, match=rf"an array \[b, h, w, 3\] of uint8, got {kind}"):
            conv4()(wrong)  # type: ignore[arg-type]
