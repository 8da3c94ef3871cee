"""From what a checkpoint file holds to the one flat table of named tensors inside it.

Training code wraps its weights: ``{"state_dict": ...}``, ``{"model": ...}``, a teacher beside its
student. :func:`unwrap` goes down those keys, and keeps the plain values it passes (epoch, command
line) as facts, because they say how the encoder was trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mgm_converters.reading.arrays import is_tensor
from mgm_converters.reading.read import Checkpoint, Inert
from mgm_jax.errors import InputError, name_some

# Keys that hold weights, the one to take first. A teacher is the average of its students, and the
# published evaluations use it; so with the target encoder of a joint-embedding method.
WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model",
    "state",
    "teacher",
    "target_encoder",
    "network",
    "net",
    "student",
    "encoder",
    "resnet",
    "experiment_state",
)

# A file can hold itself; real ones nest two deep.
_DEEPEST = 6


@dataclass(frozen=True, kw_only=True)
class Unwrapped:
    """The weights of a checkpoint, freed of what was wrapped around them.

    Attributes:
        tensors: name in the file to tensor.
        keys: the keys that were followed, outermost first.
        facts: plain values that lay beside the weights, nested names joined by dots.
        passed: what else lay beside the weights, path to reason.
    """

    tensors: dict[str, Any]
    keys: tuple[str, ...]
    facts: dict[str, Any]
    passed: dict[str, str]


def unwrap(checkpoint: Checkpoint) -> Unwrapped:
    """Find the table of named tensors in a checkpoint.

    Raises:
        InputError: there is none; the message lists what the file holds instead.
    """
    keys = _find(checkpoint.content, depth=0)
    if keys is None:
        raise InputError(
            f"{checkpoint.path}: no weights found. Expected a table of named tensors, at the top "
            f"or under one of {', '.join(WRAPPERS)}; found {_describe(checkpoint.content)}"
        )
    node, facts, passed = checkpoint.content, {}, {}
    for depth, key in enumerate(keys):
        for name, value in node.items():
            if name != key:
                path = ".".join((*keys[:depth], str(name)))
                found = _facts(path, value)
                facts |= found
                if not found and name in WRAPPERS:
                    passed[path] = f"{key} was taken instead"
                elif not found and _holds_tensors(value):
                    passed[path] = f"tensors beside {key}, not the encoder"
        node = node[key]
    tensors = {name: value for name, value in node.items() if is_tensor(value)}
    passed |= {
        ".".join((*keys, str(name))): f"not a tensor but {_kind(value)}"
        for name, value in node.items()
        if not is_tensor(value)
    }
    return Unwrapped(tensors=tensors, keys=keys, facts=facts, passed=passed)


def _find(node: Any, *, depth: int) -> tuple[str, ...] | None:
    if not isinstance(node, Mapping) or depth > _DEEPEST:
        return None
    for key in WRAPPERS:
        below = _find(node.get(key), depth=depth + 1)
        if below is not None:
            return (key, *below)
    has_tensors = any(isinstance(k, str) and is_tensor(value) for k, value in node.items())
    return () if has_tensors else None


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and any(is_tensor(entry) for entry in value.values())


def _facts(path: str, value: Any) -> dict[str, Any]:
    """Plain values in ``value``, one level into the attributes of an inert object."""
    if isinstance(value, str | int | float | bool) or value is None:
        return {path: value}
    if isinstance(value, Inert) and isinstance(value.state, Mapping):
        return {
            f"{path}.{name}": entry
            for name, entry in value.state.items()
            if isinstance(entry, str | int | float | bool) or entry is None
        }
    return {}


def _describe(content: Any) -> str:
    if not isinstance(content, Mapping):
        return _kind(content)
    entries = (f"{key} ({_kind(value)})" for key, value in content.items())
    return name_some(entries) or "an empty table"


def _kind(value: Any) -> str:
    return "a tensor" if is_tensor(value) else type(value).__name__
