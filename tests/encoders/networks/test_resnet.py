"""ResNets against torchvision, and the padding of the TensorFlow originals."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from mgm_jax.encoders import ResNetSpec
from tests.encoders.oracles import (
    assert_taps_agree,
    busy_state,
    encoder_of,
    load_into,
    read_torch,
    relative_error,
    views_of,
)

# Of each kind of block one that repeats; whole networks are in tests/converters.
SPECS = {
    "BasicBlock": ResNetSpec(blocks=(2, 1, 1, 1), block="basic", image_size=64),
    "Bottleneck": ResNetSpec(blocks=(1, 2, 1, 1), block="bottleneck", image_size=75),
}


def expected_taps(network: Any, spec: ResNetSpec, views: Any) -> dict[str, Any]:
    places = {tap: tap for tap in spec.taps} | {"stem": "maxpool", "pool": "avgpool"}
    found = read_torch(network, views, places)
    return found | {"pool": found["pool"][:, 0, 0]}


@pytest.mark.parametrize("name", SPECS)
def test_every_tap_equals_torchvision(name: str, torchvision: ModuleType) -> None:
    spec = SPECS[name]
    state, views = busy_state(spec), views_of(spec)
    made = torchvision.models.resnet
    network = load_into(made.ResNet(getattr(made, name), spec.blocks), state, left=("fc",))
    assert_taps_agree(encoder_of(spec, state), views, expected_taps(network, spec, views))


@pytest.mark.parametrize(
    ("inner_factor", "channels", "groups"),
    [(1, 32, 1), (2, 64, 1), (2, 64, 32)],
    ids=["narrow", "wide inside", "ResNeXt"],
)
def test_width_equals_torchvision(
    inner_factor: int, channels: int, groups: int, torchvision: ModuleType
) -> None:
    from torchvision.models.resnet import Bottleneck, ResNet

    class Narrow(ResNet):
        """torchvision fixes 64 channels; the width factor scales all of them."""

        def _make_layer(self, block: Any, planes: int, *args: Any, **options: Any) -> Any:
            return super()._make_layer(block, planes * channels // 64, *args, **options)

    spec = ResNetSpec(
        blocks=(1, 1),
        block="bottleneck",
        channels=channels,
        inner_factor=inner_factor,
        groups=groups,
        image_size=40,
    )
    network = Narrow(
        Bottleneck, [1, 1, 1, 1], groups=groups, width_per_group=64 * inner_factor // groups
    )
    if channels != 64:
        import torch

        network.inplanes = channels
        network.conv1 = torch.nn.Conv2d(3, channels, 7, 2, padding=3, bias=False)
        network.bn1 = torch.nn.BatchNorm2d(channels)
        network.layer1 = network._make_layer(Bottleneck, 64, 1)
        network.layer2 = network._make_layer(Bottleneck, 128, 1, stride=2)
    network.layer3 = network.layer4 = torch_identity()
    network.fc = torch_identity()
    state, views = busy_state(spec), views_of(spec)
    load_into(network, state)
    assert_taps_agree(encoder_of(spec, state), views, expected_taps(network, spec, views))


def torch_identity() -> Any:
    import torch

    return torch.nn.Identity()


def test_small_stem_has_no_pool(torchvision: ModuleType) -> None:
    import torch

    spec = ResNetSpec(blocks=(1, 1, 1, 1), block="basic", stem="cifar", image_size=20)
    network = torchvision.models.resnet.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1])
    network.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool = torch.nn.Identity()
    state, views = busy_state(spec), views_of(spec)
    load_into(network, state, left=("fc",))
    assert_taps_agree(encoder_of(spec, state), views, expected_taps(network, spec, views))


def test_same_padding_equals_explicit_padding_in_torch() -> None:
    torch = pytest.importorskip("torch")
    pad = torch.nn.functional.pad
    # Even side: every strided window needs one pixel less before than after.
    spec = ResNetSpec(blocks=(1, 1), block="basic", padding="tf-same", image_size=32, channels=8)
    state, views = busy_state(spec), views_of(spec)
    tensors = {name: torch.from_numpy(value) for name, value in state.items()}

    def conv(x: Any, name: str, norm: str, stride: int, pads: tuple[int, int, int, int]) -> Any:
        y = torch.nn.functional.conv2d(pad(x, pads), tensors[f"{name}.weight"], stride=stride)
        parts = [tensors[f"{norm}.{p}"] for p in ("running_mean", "running_var", "weight", "bias")]
        return torch.nn.functional.batch_norm(y, *parts)

    x = torch.from_numpy(views.transpose(0, 3, 1, 2).copy())
    x = torch.relu(conv(x, "conv1", "bn1", 2, (2, 3, 2, 3)))
    x = torch.nn.functional.max_pool2d(pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)
    y = torch.relu(conv(x, "layer1.0.conv1", "layer1.0.bn1", 1, (1, 1, 1, 1)))
    x = torch.relu(x + conv(y, "layer1.0.conv2", "layer1.0.bn2", 1, (1, 1, 1, 1)))
    y = torch.relu(conv(x, "layer2.0.conv1", "layer2.0.bn1", 2, (0, 1, 0, 1)))
    y = conv(y, "layer2.0.conv2", "layer2.0.bn2", 1, (1, 1, 1, 1))
    x = torch.relu(y + conv(x, "layer2.0.downsample.0", "layer2.0.downsample.1", 2, (0, 0, 0, 0)))
    got = encoder_of(spec, state).features(views)["pool"]
    assert relative_error(got, x.mean((2, 3)).numpy()) <= 1e-4
    symmetric = ResNetSpec(blocks=(1, 1), block="basic", image_size=32, channels=8)
    other = encoder_of(symmetric, state).features(views)["pool"]
    assert relative_error(got, other) > 1e-3
