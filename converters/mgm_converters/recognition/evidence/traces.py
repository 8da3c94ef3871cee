"""By which method a checkpoint was trained, from what its file shows.

Names of networks, of heads and of the keys around them differ from method to method. Where several
share them all are given, and the first decides the input; :func:`doubt_about` says so, and how to
name the one that is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mgm_converters.naming.resnet.haiku import RESNET_HAIKU
from mgm_converters.naming.resnet.simclr_v2 import RESNET_SIMCLR_V2
from mgm_converters.naming.rules import Naming
from mgm_converters.naming.vit.clip import CLIP_HUGGINGFACE, CLIP_OPENAI
from mgm_converters.recognition.evidence.record import Evidence
from mgm_converters.recognition.positions import are_fixed
from mgm_jax.encoders import (
    CifarResNetSpec,
    Conv4Spec,
    ConvNeXtSpec,
    EncoderSpec,
    MobileNetSpec,
    ResNetSpec,
    SwinSpec,
    ViTSpec,
)
from mgm_jax.encoders.catalogue.methods import METHODS, Method
from mgm_jax.encoders.catalogue.published import PUBLISHED, Published

# A name that every training of these code bases gives to its hundredth epoch.
_COMMON_FILES = ("checkpoint_0099.pth.tar",)

# Names that the converters of other people's weights give to their files, endings off.
_CONVERTED = {
    "resnet50-1x": "SimCLR-v1",  # tonylins/simclr-converter
    "r50_1x_sk0": "SimCLR-v2",  # Separius/SimCLRv2-Pytorch
    "pretrain_res50x1": "BYOL",  # chigur/byol-convert
}

# Methods whose weights were published for other libraries; converted, they are torchvision's
# names under ``state_dict`` and nothing else, which a supervised network may be as well.
_BARE = ("Supervised", "SimCLR-v1", "BYOL")
_WIDTHS = (64, 128, 256)

# MoCo-v3 gave its small ViT twice the usual heads, and all of its ViTs fixed positions.
_SMALL, _SMALL_HEADS, _USUAL_HEADS = 384, 12, 6

# Parts that no supervised training has; a classifier beside them is one that only watches.
SELF_SUPERVISED = (
    r"\w*(?:projector|projection_head|prediction_head|predictor|prototypes)\w*|queue\w*"
    r"|momentum_\w+|\w+_momentum|(?:student|teacher|target|online|query|key)_\w+|neck|online_\w+"
)

_CLASSIFIER = re.compile(r"(?:.*\.)?(?:fc|head|classifier|linear)(?:\.1)?\.weight")


@dataclass(frozen=True, kw_only=True)
class Traces:
    """What a file shows of its training.

    Attributes:
        naming: the spelling.
        keys: keys that were followed to the weights.
        prefix: what stood before the names of the encoder.
        names: names that are no part of the encoder.
        facts: plain values beside the weights.
        format: of the file.
    """

    naming: Naming
    keys: Sequence[str]
    prefix: str
    names: Iterable[str]
    facts: Mapping[str, Any]
    format: str

    def has(self, pattern: str) -> bool:
        """Whether a step in one of the names outside the encoder is all of ``pattern``."""
        whole = re.compile(rf"(?:.*\.)?(?:{pattern})(?:\..*)?")
        return any(whole.fullmatch(name) for name in self.names)

    def behind(self, step: str) -> bool:
        """Whether the weights stood behind a key or a prefix of this name."""
        return step in self.keys or step in self.prefix.split(".")


def likely_methods(traces: Traces, spec: EncoderSpec, *, stem: str) -> Evidence:
    """The methods that a file may be of, the likeliest first; none where nothing tells.

    Args:
        traces: what the file shows.
        spec: the network that its weights belong to.
        stem: of the file's name; the one method it speaks for counts where nothing in the file
            speaks against it.
    """
    methods = _methods(traces, spec)
    # A ViT's method also decides its network, which a name alone must not.
    named = by_stem(stem) if isinstance(spec, ResNetSpec) else None
    if named is not None and (not methods or named in methods):
        methods = (named,)
    return Evidence(methods=methods)


def heads_of_fixed_positions(state: Mapping[str, np.ndarray], traces: Traces) -> Evidence:
    """The heads of MoCo-v3's small ViT, where its positions are found, and the doubt about them.

    Args:
        state: canonical weights.
        traces: what the file shows.
    """
    positions, kernel = state.get("pos_embed"), state.get("patch_embed.proj.weight")
    if positions is None or kernel is None or len(kernel) != _SMALL:
        return Evidence()
    decoded = traces.has(r"decoder\w*|mask_token")
    if traces.behind("base_encoder") or traces.behind("momentum_encoder") or decoded:
        return Evidence()
    if not are_fixed(positions):
        return Evidence()
    return Evidence(
        heads=_SMALL_HEADS,
        doubt="no weight reveals the attention heads; the positions are fixed sines, as in "
        f"MoCo-v3's small ViT, so its {_SMALL_HEADS} heads were taken and not the usual "
        f"{_USUAL_HEADS} of this width; say it where that is wrong: --heads {_USUAL_HEADS}",
    )


def by_file_name(name: str) -> Published | None:
    """The published encoder whose file, and no other's, has this name."""
    matches = [one for one in PUBLISHED.values() if one.file_name == name]
    return matches[0] if len(matches) == 1 and name not in _COMMON_FILES else None


def by_sha256(digest: str) -> Published | None:
    """The published encoder whose file has this digest."""
    matches = (one for one in PUBLISHED.values() if one.sha256 and digest.startswith(one.sha256))
    return next(matches, None)


def by_stem(stem: str) -> Method | None:
    """The method that a file of this name, endings off, says it is of.

    Such are the names of published encoders (``simclr-v1``, ``moco_v2``), under which collections
    of them are kept, and those that converters of original weights give. A name alone is no proof
    of the encoder, so only the method is taken from it.

    >>> by_stem("simclr-v1").name, by_stem("resnet50-1x").name, by_stem("best")
    ('SimCLR-v1', 'SimCLR-v1', None)
    """
    if stem in _CONVERTED:
        return METHODS[_CONVERTED[stem]]
    one = PUBLISHED.get(published_name(stem))
    return None if one is None else one.method


def published_name(text: str) -> str:
    """The spelling that names of published encoders have: ``SimCLR-v1`` to ``simclr_v1``."""
    return text.lower().replace("-", "_")


def doubt_about(methods: Sequence[Method], spec: EncoderSpec) -> str:
    """What a file leaves open, what was assumed, and how to say better; empty where nothing.

    Args:
        methods: those that it may be of, the assumed one first.
        spec: the network.
    """
    if isinstance(spec, Conv4Spec | CifarResNetSpec):
        return ""
    if not methods:
        scaled = isinstance(spec, MobileNetSpec) and spec.padding == "tf-same"
        values = "values from -1 to 1" if scaled else "ImageNet mean and deviation"
        return (
            f"nothing in the file tells its method; an input with {values} was assumed. "
            "Where it is of a published method, name it: --model NAME (`mgm models`)"
        )
    if methods == (METHODS["Supervised"],) and _is_converted_size(spec):
        others = tuple(METHODS[name] for name in _BARE[1:])
        return (
            "only its classifier speaks for supervised training, and weights of "
            f"{_listed(others)} that were taken to these names have one too{_ways(others, spec)}"
        )
    if len(methods) == 1:
        return ""
    first, listed = methods[0], _listed(methods)
    same = all((m.preprocess(224), m.vit) == (first.preprocess(224), first.vit) for m in methods)
    if same:
        return f"it may be of {listed}, which take the same input{_ways(methods, spec)}"
    return (
        f"it may be of {listed}, which differ in their input or network; {first.name} was "
        f"assumed{_ways(methods, spec)}"
    )


def _listed(methods: Sequence[Method]) -> str:
    return " or ".join(method.name for method in methods)


def _ways(methods: Sequence[Method], spec: EncoderSpec) -> str:
    """How to name the published encoders of these methods and of this size."""
    ways = [
        f"--model {one.name}"
        for one in PUBLISHED.values()
        if one.method in methods and _size(one.spec) == _size(spec)
    ]
    return f"; name it with {' or '.join(ways)}" if ways else ""


def _size(spec: EncoderSpec) -> tuple[object, ...]:
    if isinstance(spec, ViTSpec):
        return spec.family, spec.embed_dim, spec.layers, spec.patch
    return spec.family, spec.width("pool" if isinstance(spec, ResNetSpec) else None)


def _is_converted_size(spec: EncoderSpec) -> bool:
    """Whether SimCLR and BYOL were published for ResNets of this size."""
    return (
        isinstance(spec, ResNetSpec)
        and spec.block == "bottleneck"
        and spec.blocks == (3, 4, 6, 3)
        and spec.channels in _WIDTHS
    )


def _methods(traces: Traces, spec: EncoderSpec) -> tuple[Method, ...]:
    names: tuple[str, ...] = ()
    if traces.naming is RESNET_HAIKU:
        names = ("BYOL",)
    elif traces.naming is RESNET_SIMCLR_V2:
        names = ("SimCLR-v2",)
    elif isinstance(spec, ResNetSpec):
        names = _resnet(traces, spec)
    elif isinstance(spec, ConvNeXtSpec):
        names = ("FCMAE",) if spec.response_norm and not spec.final_norm else ()
    elif isinstance(spec, SwinSpec):
        names = _swin(traces)
    elif isinstance(spec, ViTSpec):
        names = _vit(traces, spec)
    return tuple(METHODS[name] for name in names)


def _resnet(traces: Traces, spec: ResNetSpec) -> tuple[str, ...]:
    stated = str(traces.facts.get("opt.method", ""))
    if stated in METHODS:
        return (stated,)
    if traces.behind("encoder_q"):
        # The second version has a head of two layers.
        version = "v2" if traces.has(r"fc\.2") else "v1"
        return f"MoCo-{version}", f"PCL-{version}"
    if traces.behind("base_encoder"):
        return ("MoCo-v3",)
    if traces.has(r"prototypes\w*"):
        return "SwAV", "DeepCluster-v2", "SeLa-v2"
    if traces.has("head_jig"):
        return ("PIRL",)
    if traces.behind("encoder") and traces.has("predictor"):
        return ("SimSiam",)
    if traces.behind("teacher") or traces.behind("student"):
        return ("DINO",)
    online = traces.has(r"classifier|momentum_\w+|\w+_momentum|teacher_\w+|predictor")
    if traces.behind("backbone") and traces.has("projector") and not online:
        return "Barlow Twins", "VICReg"
    if traces.behind("encoder") and traces.has("head"):
        return "InsDis", "InfoMin"
    if not any(map(_CLASSIFIER.fullmatch, traces.names)) or traces.has(SELF_SUPERVISED):
        return ()
    bare = traces.keys == ("state_dict",) and not traces.prefix and not traces.facts
    return _BARE if bare and _is_converted_size(spec) else ("Supervised",)


def _swin(traces: Traces) -> tuple[str, ...]:
    if traces.behind("teacher") or traces.behind("student"):
        return ("EsViT",)
    if traces.has(r"encoder_k|projector(?:_k)?|predictor"):
        return ("MoBY",)
    if traces.has("decoder") and traces.has("mask_token"):
        return ("SimMIM",)
    return ("Supervised",) if any(map(_CLASSIFIER.fullmatch, traces.names)) else ()


def _vit(traces: Traces, spec: ViTSpec) -> tuple[str, ...]:
    if traces.naming is CLIP_HUGGINGFACE or traces.format == "torchscript":
        return ("CLIP",)
    if traces.naming is CLIP_OPENAI or spec.pre_norm:
        return ("CLIP", "OpenCLIP") if traces.has("input_resolution") else ("OpenCLIP",)
    if spec.attention_pool:
        return "SigLIP", "SigLIP 2"
    if spec.positions == "both":
        return ("EVA-02",)
    if spec.positions == "rope":
        return ("DINOv3",)
    if traces.behind("target_encoder"):
        return ("MSN",) if spec.class_token else ("I-JEPA",)
    if not spec.class_token:
        return ("I-JEPA",)
    if traces.behind("base_encoder"):
        return ("MoCo-v3",)
    if traces.has("masked_embed"):
        return ("iBOT",)
    if spec.layer_scale and not any(map(_CLASSIFIER.fullmatch, traces.names)):
        return ("DINOv2 with registers",) if spec.registers else ("DINOv2",)
    if traces.has(r"decoder\w*"):
        return ("MAE",)
    if traces.behind("teacher") or traces.behind("student"):
        return "DINO", "iBOT"
    return ()
