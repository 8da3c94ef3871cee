"""By which method a checkpoint was trained, from what its file shows.

Names of networks, of heads and of the keys around them differ from method to method. Where several
share them, the first stands for all: what follows from it, the input and the kind of training, is
the same for each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from converters.naming.clip import CLIP_HUGGINGFACE, CLIP_OPENAI
from converters.naming.resnet_haiku import RESNET_HAIKU
from converters.naming.resnet_simclr_v2 import RESNET_SIMCLR_V2
from converters.naming.rules import Naming
from mgm_jax.encoders import EncoderSpec, ResNetSpec, ViTSpec
from mgm_jax.encoders.methods import METHODS, Method
from mgm_jax.encoders.published import PUBLISHED, Published

# A name that every training of these code bases gives to its hundredth epoch.
_COMMON_FILES = ("checkpoint_0099.pth.tar",)

_CLASSIFIER = re.compile(r"(?:.*\.)?(?:fc|head|classifier)(?:\.1)?\.weight")


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


def identify(traces: Traces, spec: EncoderSpec) -> tuple[Method, ...]:
    """The methods that a file may be of, the likeliest first; none where nothing tells.

    Args:
        traces: what the file shows.
        spec: the network that its weights belong to.
    """
    names: tuple[str, ...] = ()
    if traces.naming is RESNET_HAIKU:
        names = ("BYOL",)
    elif traces.naming is RESNET_SIMCLR_V2:
        names = ("SimCLR-v2",)
    elif isinstance(spec, ResNetSpec):
        names = _resnet(traces)
    elif isinstance(spec, ViTSpec):
        names = _vit(traces, spec)
    return tuple(METHODS[name] for name in names)


def by_file_name(name: str) -> Published | None:
    """The published encoder whose file, and no other's, has this name."""
    found = [one for one in PUBLISHED.values() if one.file_name == name]
    return found[0] if len(found) == 1 and name not in _COMMON_FILES else None


def by_sha256(digest: str) -> Published | None:
    """The published encoder whose file has this digest."""
    found = (one for one in PUBLISHED.values() if one.sha256 and digest.startswith(one.sha256))
    return next(found, None)


def _resnet(traces: Traces) -> tuple[str, ...]:
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
    if traces.behind("backbone") and traces.has("projector"):
        return "Barlow Twins", "VICReg"
    if traces.behind("encoder") and traces.has("head"):
        return "InsDis", "InfoMin"
    return ("Supervised",) if any(map(_CLASSIFIER.fullmatch, traces.names)) else ()


def _vit(traces: Traces, spec: ViTSpec) -> tuple[str, ...]:
    if traces.naming is CLIP_HUGGINGFACE or traces.format == "torchscript":
        return ("CLIP",)
    if traces.naming is CLIP_OPENAI or spec.pre_norm:
        return ("CLIP", "OpenCLIP") if traces.has("input_resolution") else ("OpenCLIP",)
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
