"""Encoders of grey images: channels read off the weights, the input grey, through a whole run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from mgm_converters import convert
from mgm_jax.cli import app
from mgm_jax.errors import InputError

torch = pytest.importorskip("torch")

SIZE = 28
# Weights of Pillow's luminance.
LUMINANCE = np.float32([0.299, 0.587, 0.114])


class Blocks(torch.nn.Module):
    """Conv4 of few-shot learning, as ProtoTransfer nests it."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        inputs = (channels, 64, 64, 64)
        self.encoder = torch.nn.Sequential(
            *(
                torch.nn.Sequential(
                    torch.nn.Conv2d(one, 64, 3, padding=1),
                    torch.nn.BatchNorm2d(64),
                    torch.nn.ReLU(),
                    torch.nn.MaxPool2d(2),
                )
                for one in inputs
            )
        )

    def forward(self, x: Any) -> Any:
        return self.encoder(x)


@pytest.fixture
def network(randomised) -> Blocks:
    return randomised(Blocks())


@pytest.mark.parametrize("options", [{}, {"model": "conv4"}], ids=["recognised", "named"])
def test_a_grey_conv4_equals_its_network(network, write, options):
    file = write(network.state_dict())
    made = convert(file, size=SIZE, mean=[0.4], std=[0.25], **options)
    encoder = made.encoder
    assert (encoder.spec.image_channels, encoder.preprocess.mean) == (1, (0.4,))
    assert made.report.largest_error < 1e-4
    grey = np.random.default_rng(0).random((3, SIZE, SIZE, 1), dtype=np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy((grey - 0.4).transpose(0, 3, 1, 2) / 0.25)).numpy()
    result = encoder.activations(grey, taps=["block3"])["block3"]
    np.testing.assert_allclose(result, expected.transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-4)
    # Colour ones become grey first, and grey ones in three channels stay what they are.
    tripled = encoder.features(np.repeat(grey, 3, axis=-1))["flatten"]
    np.testing.assert_allclose(tripled, encoder.features(grey)["flatten"], atol=1e-4)
    colour = np.random.default_rng(1).random((2, SIZE, SIZE, 3), dtype=np.float32)
    np.testing.assert_allclose(
        encoder.features(colour)["flatten"],
        encoder.features((colour @ LUMINANCE)[..., None])["flatten"],
        atol=1e-4,
    )


def test_mgm_run_takes_a_grey_checkpoint_and_grey_images(network, write, tmp_path: Path):
    from PIL import Image

    file = write(network.state_dict(), name="grey.pth")
    encoder = convert(file, verify=False, size=SIZE, mean=[0.5], std=[0.25]).encoder
    # Of the size that images are brought to, so that none is resized.
    side = encoder.preprocess.resize
    rng = np.random.default_rng(0)
    for label in ("alpha", "beta"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for i in range(5):
            drawn = Image.fromarray(rng.integers(0, 255, (side, side), dtype=np.uint8))
            drawn.save(tmp_path / "images" / label / f"{i}.png")
    study = tmp_path / "study.yaml"
    study.write_text(
        f"encoders: [{{source: {file}, size: {SIZE}, mean: [0.5], std: [0.25]}}]\n"
        "images: [{source: images}]\naugmentation: null\nmetrics: {k: 3, resamples: 100}\n"
    )
    done = CliRunner().invoke(app, ["run", str(study), "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.exception
    (one,) = json.loads((tmp_path / "out" / "study.json").read_text())["encoders"]
    assert one["name"] == "grey"

    # What was stored is what the encoder says of the grey images themselves.
    from mgm_jax.embeddings import EmbeddingStore

    (manifest,) = (tmp_path / "out").rglob("manifest.json")
    stored = EmbeddingStore.open(manifest.parent, create=False).read()
    pictures = [
        np.asarray(Image.open(path)) for path in sorted((tmp_path / "images").rglob("*.png"))
    ]
    np.testing.assert_allclose(stored, encoder(np.stack(pictures)[..., None]), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("resnet18", "conv1"),
        ("convnext_atto", "stem.0"),
        ("swin_tiny_patch4_window7_224", "patch_embed.proj"),
        ("mobilenetv2_100", "conv_stem"),
        ("vit_tiny_patch16_224", "patch_embed.proj"),
    ],
)
def test_every_family_takes_the_channels_of_its_weights(timm, write, name, stem):
    weights = timm.create_model(name, in_chans=1).state_dict()
    assert weights[f"{stem}.weight"].shape[1] == 1
    encoder = convert(write(weights), verify=False).encoder
    assert (encoder.spec.image_channels, len(encoder.preprocess.mean)) == (1, 1)


def test_a_colour_mean_for_a_grey_network_is_refused(network, write):
    with pytest.raises(InputError, match="expected 1 values, one a channel"):
        convert(write(network.state_dict()), size=SIZE, mean=[0.4, 0.4, 0.4], std=[0.2, 0.2, 0.2])


def test_images_of_two_channels_are_refused(randomised, write):
    with pytest.raises(InputError, match="takes images of 2 channels"):
        convert(write(randomised(Blocks(2)).state_dict()))
