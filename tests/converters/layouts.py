"""The files of the 14 ResNet-50s of Ericsson et al. (2021), and later ones, in their layouts.

Each function wraps the weights of a torchvision network as the code of its authors does, with
heads, queues, optimizer and command line.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch

Weights = Mapping[str, torch.Tensor]

_SGD = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.03}]}


def _body(weights: Weights) -> dict[str, torch.Tensor]:
    return {name: value for name, value in weights.items() if not name.startswith("fc.")}


def _behind(prefix: str, weights: Weights) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in weights.items()}


def _mlp(prefix: str, *numbers: int) -> dict[str, torch.Tensor]:
    return {
        f"{prefix}.{n}.{kind}": torch.ones(shape)
        for n in numbers
        for kind, shape in (("weight", (2, 2)), ("bias", (2,)))
    }


def pycontrast(method: str, *heads: str) -> Callable[[Weights], Any]:
    """InsDis, PIRL and InfoMin: ``model`` beside the memory, the optimizer and the options."""

    def wrap(weights: Weights) -> Any:
        model = _behind("module.encoder.", _body(weights))
        for head in heads:
            model |= _mlp(f"module.{head}", 0, 2)
        return {
            "opt": argparse.Namespace(method=method, arch="resnet50", epochs=200),
            "model": model,
            "contrast": {"memory": torch.zeros(4, 2)},
            "optimizer": _SGD,
            "epoch": 200,
        }

    return wrap


def moco(*layers: int) -> Callable[[Weights], Any]:
    """MoCo and PCL: query and key encoders and a queue; the second versions have an MLP."""

    def wrap(weights: Weights) -> Any:
        head = _mlp("fc", *layers) if layers else {"fc.weight": torch.ones(2, 2)}
        state = {}
        for twin in ("encoder_q", "encoder_k"):
            state |= _behind(f"module.{twin}.", _body(weights) | head)
        state |= {"module.queue": torch.zeros(2, 4), "module.queue_ptr": torch.zeros(1).long()}
        return {"epoch": 200, "arch": "resnet50", "state_dict": state, "optimizer": _SGD}

    return wrap


def swav(weights: Weights) -> Any:
    """SwAV, DeepCluster-v2 and SeLa-v2: flat, heads and prototypes inside."""
    heads = _mlp("projection_head", 0, 3) | {"prototypes.weight": torch.ones(3, 2)}
    return _behind("module.", _body(weights) | heads)


def simclr_v2(weights: Weights) -> Any:
    """The conversion of Separius: names of its own behind ``resnet``, the head beside it."""
    made = {}
    for name, value in weights.items():
        steps = name.split(".")
        if steps[0] == "fc":
            made[name] = value
        elif steps[0] == "conv1":
            made["net.0.0.weight"] = value
        elif steps[0] == "bn1":
            made[f"net.0.1.0.{steps[1]}"] = value
        else:
            block = f"net.{steps[0][-1]}.blocks.{steps[1]}"
            if steps[2] == "downsample":
                part = "projection.shortcut" if steps[3] == "0" else "projection.bn.0"
            else:
                number = int(steps[2][-1])
                bn = steps[2].startswith("bn")
                part = f"net.{2 * number - 1}.0" if bn else f"net.{2 * number - 2}"
            made[f"{block}.{part}.{steps[-1]}"] = value
    return {"resnet": made, "head": _mlp("layers", 0, 1)}


def twin_projector(weights: Weights) -> Any:
    """Barlow Twins and VICReg, full checkpoints."""
    model = _behind("module.backbone.", _body(weights)) | _mlp("module.projector", 0, 3)
    return {"epoch": 1000, "model": model, "optimizer": _SGD}


def simsiam(weights: Weights) -> Any:
    """SimSiam: the projector is the encoder's ``fc``."""
    state = _behind("module.encoder.", _body(weights) | _mlp("fc", 0, 3))
    state |= _mlp("module.predictor", 0, 3)
    return {"epoch": 100, "arch": "resnet50", "state_dict": state, "optimizer": _SGD}


def moco_v3(weights: Weights) -> Any:
    """MoCo-v3."""
    state = _mlp("module.predictor", 0, 3)
    for twin in ("base_encoder", "momentum_encoder"):
        state |= _behind(f"module.{twin}.", _body(weights) | _mlp("fc", 0, 3))
    return {"epoch": 1000, "state_dict": state, "optimizer": _SGD}


def dino(weights: Weights) -> Any:
    """DINO, a full checkpoint."""
    student = _behind("module.backbone.", _body(weights)) | _mlp("module.head.mlp", 0, 2)
    teacher = _behind("backbone.", _body(weights)) | _mlp("head.mlp", 0, 2)
    arguments = argparse.Namespace(arch="resnet50", patch_size=16)
    return {"student": student, "teacher": teacher, "optimizer": _SGD, "args": arguments}


# Name, layout, the method that the report names first, the kind of training.
LAYOUTS: dict[str, tuple[Callable[[Weights], Any], str, str]] = {
    "insdis": (pycontrast("InsDis", "head"), "InsDis", "contrastive"),
    "pirl": (pycontrast("PIRL", "head", "head_jig", "jigsaw"), "PIRL", "contrastive"),
    "infomin": (pycontrast("InfoMin", "head"), "InfoMin", "contrastive"),
    "moco_v1": (moco(), "MoCo-v1", "contrastive"),
    "moco_v2": (moco(0, 2), "MoCo-v2", "contrastive"),
    "pcl_v1": (moco(), "MoCo-v1 or PCL-v1", "contrastive"),
    "pcl_v2": (moco(0, 2), "MoCo-v2 or PCL-v2", "contrastive"),
    "swav": (swav, "SwAV", "clustering"),
    "deepcluster_v2": (swav, "SwAV or DeepCluster-v2", "clustering"),
    "sela_v2": (lambda w: {"state_dict": swav(w)}, "SwAV or DeepCluster-v2", "clustering"),
    "simclr_v1": (lambda w: {"state_dict": dict(w)}, "Supervised or SimCLR-v1", "unknown"),
    "simclr_v2": (simclr_v2, "SimCLR-v2", "contrastive"),
    "byol": (lambda w: {"state_dict": dict(w)}, "Supervised or SimCLR-v1 or BYOL", "unknown"),
    "supervised": (dict, "Supervised", "supervised"),
    "barlow_twins": (twin_projector, "Barlow Twins", "non-contrastive"),
    "vicreg": (_body, "", "unknown"),
    "simsiam": (simsiam, "SimSiam", "non-contrastive"),
    "moco_v3": (moco_v3, "MoCo-v3", "contrastive"),
    "dino": (dino, "DINO", "non-contrastive"),
}


def in_one_sequence(weights: Weights, *, head: str = "features.18") -> dict[str, torch.Tensor]:
    """torchvision's MobileNetV2 as the implementation before it: layers of a block are counted."""
    plain = {"0.0": 0, "0.1": 1, "1": 3, "2": 4}
    wide = {"0.0": 0, "0.1": 1, "1.0": 3, "1.1": 4, "2": 6, "3": 7}
    state = {}
    for name, value in weights.items():
        match = re.fullmatch(r"features\.(\d+)\.conv\.(.+)\.(\w+)", name)
        if match is None:
            state[name.replace("features.18.", f"{head}.")] = value
        else:
            number = (plain if match[1] == "1" else wide)[match[2]]
            state[f"features.{match[1]}.conv.{number}.{match[3]}"] = value
    return state


def of_efficientnet_pytorch(weights: Weights) -> dict[str, torch.Tensor]:
    """timm's EfficientNet-Lite under the names of EfficientNet-PyTorch."""
    heads = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
    plain = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    wide = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"}
    wide |= {"conv_pwl": "_project_conv", "bn3": "_bn2"}
    blocks = list(dict.fromkeys(re.findall(r"blocks\.\d+\.\d+", " ".join(weights))))
    state = {}
    for name, value in weights.items():
        owner, _, part = name.rpartition(".")
        block, _, layer = owner.rpartition(".")
        if block:
            names = plain if block == "blocks.0.0" else wide
            state[f"_blocks.{blocks.index(block)}.{names[layer]}.{part}"] = value
        else:
            state[f"{heads.get(owner, '_fc')}.{part}"] = value
    return state
