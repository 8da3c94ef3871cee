"""The CIFAR ResNets against PyTorch: random weights, and a real checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mgm_jax.encoders import CifarResNetSpec
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


class Block(nn.Module):  # type: ignore[misc, name-defined]
    """Two convolutions beside the input, subsampled and padded with zero channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Any) -> Any:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if y.shape != x.shape:
            side = (y.shape[1] - x.shape[1]) // 2
            x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, side, side))
        return torch.relu(x + y)


class Network(nn.Module):  # type: ignore[misc, name-defined]
    """Stem, three stages, average pool."""

    def __init__(self, blocks: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.stem = nn.ReLU()
        inputs = channels
        for stage in (1, 2, 3):
            layer = []
            for _ in range(blocks):
                layer.append(Block(inputs, channels))
                inputs = channels
            self.add_module(f"layer{stage}", nn.Sequential(*layer))
            channels *= 2
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, x: Any) -> Any:
        x = self.stem(self.bn1(self.conv1(x)))
        return self.pool(self.layer3(self.layer2(self.layer1(x))))


@pytest.mark.parametrize(("blocks", "channels", "size"), [(3, 16, 32), (2, 6, 21)])
def test_every_tap_equals_pytorch(blocks: int, channels: int, size: int) -> None:
    spec = CifarResNetSpec(blocks=blocks, channels=channels, image_size=size)
    state, views = busy_state(spec), views_of(spec)
    network = load_into(Network(blocks, channels), state)
    expected = read_torch(network, views, {tap: tap for tap in spec.taps})
    assert_taps_agree(encoder_of(spec, state), views, expected)


def test_trained_weights_equal_pytorch(shared_data: Path) -> None:
    file = shared_data / "checkpoints" / "resnet_cifar10_supervised" / "resnet20-12fca82f.th"
    content = torch.load(file, weights_only=True, map_location="cpu")["state_dict"]
    state = {
        name.removeprefix("module."): value.numpy()
        for name, value in content.items()
        if "linear" not in name and "num_batches" not in name
    }
    spec = CifarResNetSpec(blocks=3)
    views = views_of(spec)
    network = load_into(Network(3, 16), state)
    expected = read_torch(network, views, {tap: tap for tap in spec.taps})
    assert_taps_agree(encoder_of(spec, state), views, expected)
