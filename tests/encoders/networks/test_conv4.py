"""Conv4 against PyTorch: random weights, and a real checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mgm_jax.encoders import Conv4Spec
from tests.encoders.oracles import (
    assert_taps_agree,
    busy_state,
    encoder_of,
    load_into,
    read_torch,
    views_of,
)

torch = pytest.importorskip("torch")
nn = torch.nn

PLACES = {f"block{i}": f"blocks.{i}.pool" for i in range(4)} | {"flatten": "flatten"}


def torch_conv4(channels: int) -> Any:
    """The network as the few-shot literature writes it."""
    blocks = nn.ModuleList()
    for i in range(4):
        block = nn.Sequential()
        block.add_module("conv", nn.Conv2d(channels if i else 3, channels, 3, padding=1))
        block.add_module("bn", nn.BatchNorm2d(channels))
        block.add_module("relu", nn.ReLU())
        block.add_module("pool", nn.MaxPool2d(2))
        blocks.append(block)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = blocks
            self.flatten = nn.Flatten()

        def forward(self, x: Any) -> Any:
            for block in self.blocks:
                x = block(x)
            return self.flatten(x)

    return Network()


@pytest.mark.parametrize(("size", "channels"), [(84, 64), (50, 5), (16, 3)])
def test_every_tap_equals_pytorch(size: int, channels: int) -> None:
    spec = Conv4Spec(image_size=size, channels=channels)
    state, views = busy_state(spec), views_of(spec)
    network = load_into(torch_conv4(channels), state)
    assert_taps_agree(encoder_of(spec, state), views, read_torch(network, views, PLACES))


def test_trained_weights_equal_pytorch(shared_data: Path) -> None:
    file = shared_data / "checkpoints" / "conv4_miniimagenet" / "c3lr_best-mini.ckpt"
    content = torch.load(file, weights_only=True, map_location="cpu")["state_dict"]
    state = {
        f"blocks.{i}.{part}.{leaf}": content[f"encoder.encoder.{4 * i + offset}.{leaf}"].numpy()
        for i in range(4)
        for offset, part in enumerate(("conv", "bn"))
        for leaf in ("weight", "bias", "running_mean", "running_var")
        if part == "bn" or not leaf.startswith("running")
    }
    spec = Conv4Spec()
    views = views_of(spec)
    network = load_into(torch_conv4(64), state)
    assert_taps_agree(encoder_of(spec, state), views, read_torch(network, views, PLACES))
