"""PyTorch's own form of the encoders that are timed: the opponents of ``benchmarks/embed.py``."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

_TIMM = {"vit_s16": "vit_small_patch16_224", "vit_b16": "vit_base_patch16_224"}
_KEPT: list[Any] = []


def build(name: str) -> Any:
    """A module from ``[b, 3, s, s]`` to ``[b, d]``: torchvision's or timm's, or a plain Conv4."""
    import torch

    if name == "conv4":
        layers: list[Any] = []
        for inputs in (3, 64, 64, 64):
            layers += [
                torch.nn.Conv2d(inputs, 64, 3, padding=1),
                torch.nn.BatchNorm2d(64),
                torch.nn.ReLU(),
                torch.nn.MaxPool2d(2),
            ]
        return torch.nn.Sequential(*layers, torch.nn.Flatten())
    _declare_operators()
    if name in _TIMM:
        import timm

        return timm.create_model(_TIMM[name], num_classes=0)
    import torchvision

    model = getattr(torchvision.models, name)()
    model.fc = torch.nn.Identity()
    return model


def _declare_operators() -> None:
    """Let torchvision be imported where its compiled operators do not fit the PyTorch at hand.

    No network here needs them; the import only registers shapes for them.
    """
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("this benchmark needs torchvision and timm")
    if _KEPT or hasattr(torch.ops.torchvision, "nms"):
        return
    source = Path(spec.submodule_search_locations[0], "_meta_registrations.py").read_text()
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in sorted(set(re.findall(r'"torchvision::(\w+)"', source))):
        library.define(f"{operator}() -> ()")
    _KEPT.append(library)
