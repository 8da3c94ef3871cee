"""The linear classifier that a checkpoint holds beside its encoder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mgm_converters.reading.arrays import to_array
from mgm_jax.encoders import EncoderSpec
from mgm_jax.errors import InputError, name_some

_NAME = re.compile(
    r"(?:.*\.)?(?P<owner>(?:_?fc|head|head\.fc|heads\.head|classifier(?:\.\d)?|linear|last_linear))"
    r"\.(?P<kind>weight|bias)"
)


def with_classifier(
    spec: EncoderSpec, tensors: Mapping[str, Any], *, outside: Mapping[str, str]
) -> tuple[EncoderSpec, dict[str, np.ndarray], dict[str, str]]:
    """The spec with its classifier, the classifier's canonical weights, and where they come from.

    Args:
        spec: of the encoder.
        tensors: every tensor of the file.
        outside: those that are no part of the encoder, name to reason.

    Raises:
        InputError: there is no single linear map from the default feature, or the family has no
            place for one.
    """
    if not hasattr(spec, "classes"):
        raise InputError(f"head: a {spec.family} encoder has no classifier of its own")
    matches = {name: match for name in outside if (match := _NAME.fullmatch(name))}
    weights = [name for name, match in matches.items() if match["kind"] == "weight"]
    width = spec.width()
    fitting = [name for name in weights if tuple(tensors[name].shape)[1:] == (width,)]
    if len(fitting) != 1:
        raise InputError(
            f"head: expected one linear classifier of {width} inputs beside the encoder, found "
            f"{name_some(weights) or 'none'}"
        )
    weight = fitting[0]
    bias = weight.removesuffix("weight") + "bias"
    matrix = to_array(tensors[weight]).astype(np.float32)
    state = {"head.weight": matrix, "head.bias": np.zeros(len(matrix), np.float32)}
    if bias in tensors:
        state["head.bias"] = to_array(tensors[bias]).astype(np.float32)
    origin = {name: f"head.{matches[name]['kind']}" for name in (weight, bias) if name in matches}
    return replace(spec, classes=len(matrix)), state, origin  # type: ignore[call-arg]
