"""Files of libraries for self-supervised learning, each in its own layout, of two small networks.

``net`` is the network that is trained, ``slow`` its moving average; a builder returns what the
library would save, and which of the two its method evaluates.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

Weights = Mapping[str, torch.Tensor]
Builder = Callable[[Weights, Weights], Any]


class Library(NamedTuple):
    """A layout: what is saved, which network is evaluated, the method that the file states."""

    build: Builder
    evaluated: str
    method: str = ""
    paradigm: str = "unknown"


def behind(prefix: str, weights: Weights) -> dict[str, torch.Tensor]:
    return {f"{prefix}.{name}": value for name, value in weights.items()}


def heads(*names: str) -> dict[str, torch.Tensor]:
    return {f"{name}.0.weight": torch.ones(2, 2) for name in names}


def solo(method: str, *parts: str, momentum: bool = False, settings: bool = True) -> Builder:
    """solo-learn: Lightning with hyper-parameters; an online classifier in every method.

    Parts that are queues are buffers of the module. Newer versions keep the settings in a file of
    their own.
    """

    def build(net: Weights, slow: Weights) -> Any:
        state = behind("backbone", net) | {"classifier.weight": torch.ones(3, 64)}
        state |= heads(*(part for part in parts if "queue" not in part))
        state |= {part: torch.ones(2, 4) for part in parts if "queue" in part}
        if momentum:
            state |= behind("momentum_backbone", slow) | heads("momentum_projector")
            state |= {"momentum_classifier.weight": torch.ones(3, 64)}
        made = {
            "epoch": 4,
            "state_dict": state,
            "pytorch-lightning_version": "2.0",
            "hyper_parameters": {"method": method, "backbone": {"name": "resnet18"}},
            "optimizer_states": [{"state": {0: {"momentum_buffer": torch.zeros(3)}}}],
        }
        if not settings:
            del made["hyper_parameters"]
        return made

    return build


def lightning(**parts: str) -> Builder:
    """A Lightning file whose networks stand under the given names."""

    def build(net: Weights, slow: Weights) -> Any:
        state = {}
        for name, part in parts.items():
            state |= behind(name, {"net": net, "slow": slow}.get(part) or {}) or heads(name)
        return {"state_dict": state, "epoch": 1, "global_step": 10}

    return build


def vissl(net: Weights, slow: Weights) -> Any:
    """VISSL while training: trunk and heads in nested tables, MoCo's second network in the loss."""
    return {
        "phase": 9,
        "classy_state_dict": {
            "base_model": {
                "model": {
                    "trunk": behind("_feature_blocks", net),
                    "heads": heads("0.clf"),
                },
                "meta": {},
            },
            "optimizer": {"state": {}},
            "loss": {
                "moco_encoder": {"trunk": behind("_feature_blocks", slow)},
                "queue": torch.ones(2, 2),
            },
        },
    }


def openselfsup_moco(net: Weights, slow: Weights) -> Any:
    """The query network is stored twice: as the backbone, and with its neck in a sequence."""
    state = behind("backbone", net) | behind("encoder_q.0", net) | behind("encoder_k.0", slow)
    return {
        "meta": {"epoch": 200, "mmcv_version": "1.0"},
        "state_dict": state | heads("encoder_q.1.mlp", "encoder_k.1.mlp"),
    }


def mmselfsup_byol(net: Weights, slow: Weights) -> Any:
    state = behind("backbone", net) | behind("online_net.0", net)
    state |= behind("target_net.module.0", slow) | {"target_net.steps": torch.tensor(3)}
    return {"meta": {}, "state_dict": state | heads("head.predictor", "neck")}


def mmengine_ema(net: Weights, slow: Weights) -> Any:
    """The hook of averages swaps the two as it saves: the averages stand under the plain key."""
    raw = behind("module.backbone", net) | {"steps": torch.tensor(5)}
    return mmpretrain(slow, slow) | {"ema_state_dict": raw}


def mmpretrain(net: Weights, slow: Weights) -> Any:
    """MMPretrain while training, with what its runner keeps beside the weights."""
    return {
        "meta": {"epoch": 2, "mmengine_version": "0.10", "cfg": "model = dict(type='SimCLR')\n"},
        "state_dict": behind("backbone", net) | heads("neck", "head.fc"),
        "message_hub": {"log_scalars": {}, "runtime_info": {"iter": 3}, "resumed_keys": {}},
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": []},
        "param_schedulers": [{"last_step": 3}],
    }


def lucidrains_byol(net: Weights, slow: Weights) -> Any:
    state = behind("net", net) | behind("online_encoder.net", net)
    return state | behind("target_encoder.net", slow) | heads("online_predictor")


def as_shortcut(weights: Weights) -> dict[str, torch.Tensor]:
    return {name.replace("downsample", "shortcut"): value for name, value in weights.items()}


def supcontrast(method: str) -> Builder:
    def build(net: Weights, slow: Weights) -> Any:
        state = behind("encoder.module", as_shortcut(net)) | heads("head")
        options = argparse.Namespace(method=method, model="resnet18", epochs=5)
        return {"opt": options, "model": state, "optimizer": {"state": {}}, "epoch": 5}

    return build


def pytorch_cifar(net: Weights, slow: Weights) -> Any:
    state = as_shortcut(net) | {"linear.weight": torch.ones(10, 64), "linear.bias": torch.ones(10)}
    return {"net": behind("module", state), "acc": 93.0, "epoch": 10}


def pytorch_cifar100(net: Weights, slow: Weights) -> Any:
    made = {}
    for name, value in net.items():
        steps = name.split(".")
        if steps[0] in ("conv1", "bn1"):
            made[f"conv1.{int(steps[0] == 'bn1')}.{steps[1]}"] = value
            continue
        at = f"conv{int(steps[0][-1]) + 1}_x.{steps[1]}"
        if steps[2] == "downsample":
            made[f"{at}.shortcut.{steps[3]}.{steps[4]}"] = value
        else:
            number = 3 * (int(steps[2][-1]) - 1) + steps[2].startswith("bn")
            made[f"{at}.residual_function.{number}.{steps[3]}"] = value
    return made | {"fc.weight": torch.ones(100, 64)}


def sequential(first: int) -> Builder:
    numbers = {"conv1": 0, "bn1": 1} | {f"layer{i}": first + i - 1 for i in (1, 2, 3, 4)}

    def build(net: Weights, slow: Weights) -> Any:
        made = {}
        for name, value in net.items():
            step, _, rest = name.partition(".")
            made[f"backbone.{numbers[step]}.{rest}"] = value
        return {"state_dict": made | heads("projection_head.layers")}

    return build


def torchvision_reference(net: Weights, slow: Weights) -> Any:
    average = behind("module", slow) | {"n_averaged": torch.tensor(9)}
    return {"model": net, "model_ema": average, "optimizer": {"state": {}}, "epoch": 1}


def pycontrast(net: Weights, slow: Weights) -> Any:
    options = argparse.Namespace(method="InfoMin", arch="resnet18")
    return {
        "opt": options,
        "model": behind("module.encoder", net) | heads("module.head"),
        "model_ema": behind("module.encoder", slow) | heads("module.head"),
    }


def dino(net: Weights, slow: Weights) -> Any:
    return {
        "student": behind("module.backbone", net) | heads("module.head.mlp"),
        "teacher": behind("backbone", slow) | heads("head.mlp"),
        "epoch": 3,
    }


LIBRARIES: dict[str, Library] = {
    "solo-learn simclr": Library(solo("simclr", "projector"), "net", "SimCLR", "contrastive"),
    "solo-learn barlow_twins": Library(
        solo("barlow_twins", "projector"), "net", "Barlow Twins", "non-contrastive"
    ),
    "solo-learn byol": Library(
        solo("byol", "projector", "predictor", momentum=True), "net", "BYOL", "non-contrastive"
    ),
    "solo-learn dino": Library(
        solo("dino", "head", momentum=True), "net", "DINO", "non-contrastive"
    ),
    "solo-learn mocov3": Library(
        solo("mocov3", "projector", "predictor", momentum=True), "net", "MoCo-v3", "contrastive"
    ),
    "solo-learn swav": Library(
        solo("swav", "projector", "prototypes"), "net", "SwAV", "clustering"
    ),
    "solo-learn all4one": Library(
        solo(
            *("all4one", "projector", "predictor", "predictor2", "transformer_encoder"),
            *("queue", "queue_y", "queue_ptr", "queue_index"),
            momentum=True,
        ),
        *("net", "All4One", "contrastive"),
    ),
    "solo-learn deepclusterv2": Library(
        solo("deepclusterv2", "projector", "prototypes"), "net", "DeepCluster-v2", "clustering"
    ),
    "solo-learn mocov2plus": Library(
        solo("mocov2plus", "projector", "queue", "queue_ptr", momentum=True),
        *("net", "MoCo-v2", "contrastive"),
    ),
    "solo-learn nnbyol": Library(
        solo("nnbyol", "projector", "predictor", "queue", "queue_y", momentum=True),
        *("net", "NNBYOL", "non-contrastive"),
    ),
    "solo-learn nnclr": Library(
        solo("nnclr", "projector", "predictor", "queue", "queue_y"), "net", "NNCLR", "contrastive"
    ),
    "solo-learn nnsiam": Library(
        solo("nnsiam", "projector", "predictor", "queue", "queue_y"),
        *("net", "NNSiam", "non-contrastive"),
    ),
    "solo-learn ressl": Library(
        solo("ressl", "projector", "queue", "queue_ptr", momentum=True),
        *("net", "ReSSL", "contrastive"),
    ),
    "solo-learn simsiam": Library(
        solo("simsiam", "projector", "predictor"), "net", "SimSiam", "non-contrastive"
    ),
    "solo-learn vibcreg": Library(
        solo("vibcreg", "projector"), "net", "VIbCReg", "non-contrastive"
    ),
    "solo-learn vicreg": Library(solo("vicreg", "projector"), "net", "VICReg", "non-contrastive"),
    "solo-learn wmse": Library(solo("wmse", "projector"), "net", "W-MSE", "non-contrastive"),
    "solo-learn byol, settings elsewhere": Library(
        solo("byol", "projector", "predictor", momentum=True, settings=False), "net"
    ),
    "solo-learn supcon": Library(solo("supcon", "projector"), "net", "SupCon", "supervised"),
    "lightly dino": Library(
        lightning(student_backbone="net", student_head="", teacher_backbone="slow"), "slow"
    ),
    "lightly dino, plain student": Library(
        lightning(backbone="net", student_head="", teacher_backbone="slow"), "slow"
    ),
    "lightly benchmark dino": Library(
        lightning(backbone="slow", student_backbone="net", projection_head=""), "slow"
    ),
    "lightly benchmark moco": Library(
        lightning(backbone="slow", query_backbone="net", projection_head=""), "slow"
    ),
    "lightly byol": Library(
        lightning(backbone="net", backbone_momentum="slow", prediction_head=""), "net"
    ),
    "lightly benchmark byol": Library(
        lightning(
            backbone="net",
            teacher_backbone="slow",
            teacher_projection_head="",
            online_classifier="",
        ),
        "net",
    ),
    "lightly benchmark swav": Library(
        lightning(backbone="net", projection_head="", prototypes="", online_classifier=""), "net"
    ),
    "lightly benchmark tico": Library(
        lightning(
            backbone="net",
            projection_head="",
            backbone_momentum="slow",
            projection_head_momentum="",
        ),
        "net",
    ),
    "lightly benchmark vicreg": Library(
        lightning(backbone="net", projection_head="", online_classifier=""), "net"
    ),
    "ema-pytorch in Lightning": Library(lightning(model="net", ema_model="slow"), "slow"),
    "VISSL": Library(vissl, "net"),
    "OpenSelfSup MoCo": Library(openselfsup_moco, "net"),
    "MMSelfSup BYOL": Library(mmselfsup_byol, "net"),
    "MMPretrain": Library(mmpretrain, "net"),
    "MMEngine, averages": Library(mmengine_ema, "slow"),
    "byol-pytorch": Library(lucidrains_byol, "net"),
    "SupContrast": Library(supcontrast("SupCon"), "net", "SupCon", "supervised"),
    "SupContrast SimCLR": Library(supcontrast("SimCLR"), "net", "SimCLR", "contrastive"),
    "PyContrast with an average": Library(pycontrast, "net", "", "contrastive"),
    "pytorch-cifar": Library(pytorch_cifar, "net", "Supervised", "supervised"),
    "pytorch-cifar100": Library(pytorch_cifar100, "net", "Supervised", "supervised"),
    "Sequential with max-pool": Library(sequential(4), "net"),
    "Sequential without max-pool": Library(sequential(3), "net"),
    "Sequential without ReLU": Library(sequential(2), "net"),
    "torchvision references": Library(torchvision_reference, "slow"),
    "DINO": Library(dino, "slow"),
}
