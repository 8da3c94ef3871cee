"""Small PyTorch networks as the few-shot and CIFAR code bases write them, to compare with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def busy(network: nn.Module, *, spread: float = 1.0) -> nn.Module:
    """No weight left at 0 or 1, scales of branches at a size that shows."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in network.named_parameters():
            draw = spread * (torch.rand(value.shape, generator=generator) - 0.5)
            value.copy_(1 + draw if value.ndim == 1 and name.endswith("weight") else draw)
    return network.eval()


def conv4_block(inputs: int, outputs: int) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU, pool."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )


class SequentialConv4(nn.Module):
    """Names ``encoder.i.0`` and ``encoder.i.1``."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *(conv4_block(3 if i == 0 else width, width) for i in range(4))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.encoder(x).flatten(1)


class FlatConv4(nn.Module):
    """Names ``encoder.encoder.{4 i}`` and ``encoder.encoder.{4 i + 1}``."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.encoder = nn.Sequential(
            *(layer for i in range(4) for layer in conv4_block(3 if i == 0 else width, width))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.encoder.encoder(x).flatten(1)


class TrunkBlock(nn.Module):
    """Keeps its layers by name and once more in a list."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        layers = conv4_block(inputs, outputs)
        self.C, self.BN = layers[0], layers[1]
        self.trunk = layers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.trunk(x)


class TrunkConv4(nn.Module):
    """Names ``feature.trunk.i.C``, ``.BN`` and the copies ``.trunk.0``, ``.trunk.1``."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.feature = nn.Module()
        self.feature.trunk = nn.Sequential(
            *(TrunkBlock(3 if i == 0 else width, width) for i in range(4)), nn.Flatten()
        )
        self.classifier = nn.Linear(width * 25, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.feature.trunk(x)


class CifarBlock(nn.Module):
    """Two convolutions beside a shortcut without weights."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.added = (outputs - inputs) // 2
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        x = x[:, :, :: self.stride, :: self.stride]
        x = F.pad(x, (0, 0, 0, 0, self.added, self.added))
        return F.relu(self.bn2(self.conv2(y)) + x)


class CifarResNet(nn.Module):
    """Three stages of 16, 32 and 64 channels, a linear classifier."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = {1: (16, 16), 2: (16, 32), 3: (32, 64)}
        for stage, (inputs, outputs) in widths.items():
            first = CifarBlock(inputs, outputs, 1 if stage == 1 else 2)
            rest = (CifarBlock(outputs, outputs, 1) for _ in range(blocks - 1))
            setattr(self, f"layer{stage}", nn.Sequential(first, *rest))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return x.mean((2, 3))


def small_vit(timm, **options) -> nn.Module:
    """timm's vision transformer with two blocks, 64 pixels, patch 16."""
    return timm.models.vision_transformer.VisionTransformer(
        img_size=64, patch_size=16, embed_dim=192, depth=2, num_heads=3, mlp_ratio=2, **options
    )
