"""From what a checkpoint file holds to the one flat table of named tensors inside it.

Training code wraps its weights: ``{"state_dict": ...}``, ``{"model": ...}``, a teacher beside its
student. :func:`tables` finds every table of tensors, :func:`unwrap` goes down to one of them, and
keeps the plain values it passes (epoch, command line) as facts, because they say how the encoder
was trained. A whole module that was stored is the table of its weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mgm_converters.reading.arrays import is_tensor
from mgm_converters.reading.read import Checkpoint, Inert
from mgm_jax.errors import InputError, name_some

# Keys that hold weights, the one to take first. A teacher is the average of its students, and the
# published evaluations use it; so with the target encoder of a joint-embedding method.
WRAPPERS = (
    "params",
    "state_dict",
    "model_state_dict",
    "classy_state_dict",
    "base_model",
    "model",
    "module",
    "trunk",
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

# A file can hold itself; real ones nest four deep.
_MAX_DEPTH = 6
# Modules in modules, of one that was stored whole.
_MAX_MODULE_DEPTH = 64
# More places than any training writes; a file may lead to any number.
_MAX_NODES = 100_000

# What trainings keep beside their weights, and of the same names as these.
_NO_WEIGHTS = re.compile(
    r"(?:.*_)?(?:optim\w*|optimizers?(?:_\w+)?|scaler|amp|lr_schedulers?|rng\w*)"
)


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


def tables(checkpoint: Checkpoint) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Every table of named tensors in a file: the keys that lead to it, and its names.

    States of optimizers are left out; a table that several keys lead to is listed once.
    """
    groups: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    seen: set[int] = set()
    queue: list[tuple[tuple[str, ...], Any]] = [((), checkpoint.content)]
    for keys, node in queue:
        node = _table(node)
        if node is None or id(node) in seen or len(queue) > _MAX_NODES:
            continue
        seen.add(id(node))
        names = tuple(name for name, value in node.items() if _is_named_tensor(name, value))
        if names:
            groups.append((keys, names))
        if len(keys) < _MAX_DEPTH:
            queue.extend(
                ((*keys, key), value)
                for key, value in node.items()
                if isinstance(key, str)
                and not _NO_WEIGHTS.fullmatch(key)
                and _table(value) is not None
            )
    return groups


def tensors_at(checkpoint: Checkpoint, keys: tuple[str, ...]) -> dict[str, Any]:
    """The table of named tensors that keys lead to."""
    node = _table(checkpoint.content) or {}
    for key in keys:
        node = _table(node[key]) or {}
    return {name: value for name, value in node.items() if _is_named_tensor(name, value)}


def unwrap(checkpoint: Checkpoint, keys: tuple[str, ...] | None = None) -> Unwrapped:
    """Go down to the table of named tensors in a checkpoint.

    Args:
        checkpoint: the file.
        keys: that lead to the table; by default the first of :data:`WRAPPERS` at every level.

    Raises:
        InputError: there is none; the message lists what the file holds instead.
    """
    if keys is None:
        keys = _find(checkpoint.content, depth=0)
    if keys is None:
        raise InputError(
            f"{checkpoint.path}: no weights found. Expected a table of named tensors, at the top "
            f"or under one of {', '.join(WRAPPERS)}; found {_describe(checkpoint.content)}"
        )
    facts: dict[str, Any] = {}
    passed: dict[str, str] = {}
    node = _table(checkpoint.content) or {}
    for depth, key in enumerate(keys):
        for name, value in node.items():
            if name != key:
                path = ".".join((*keys[:depth], str(name)))
                more = dict(_facts(path, value))
                facts |= more
                if not more and name in WRAPPERS:
                    passed[path] = f"{key} was taken instead"
                elif not more and _holds_tensors(value):
                    passed[path] = f"tensors beside {key}, not the encoder"
        node = _table(node[key]) or {}
    tensors = {name: value for name, value in node.items() if is_tensor(value)}
    for name, value in node.items():
        if not is_tensor(value):
            path = ".".join((*keys, str(name)))
            passed[path] = f"not a tensor but {_kind(value)}"
            if not keys:
                # A flat file: what lies between its tensors may say how it was trained.
                facts |= {path: value} if isinstance(value, str | int | float | bool) else {}
    return Unwrapped(tensors=tensors, keys=keys, facts=facts, passed=passed)


def _find(node: Any, *, depth: int) -> tuple[str, ...] | None:
    node = _table(node)
    if node is None or depth > _MAX_DEPTH:
        return None
    for key in WRAPPERS:
        below = _find(node.get(key), depth=depth + 1)
        if below is not None:
            return (key, *below)
    return () if any(_is_named_tensor(name, value) for name, value in node.items()) else None


def _is_named_tensor(name: Any, value: Any) -> bool:
    return isinstance(name, str) and is_tensor(value)


def _table(value: Any) -> Mapping[Any, Any] | None:
    """A value as a table: a dictionary, or the weights of a module that was stored whole."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, Inert) and isinstance(value.state, Mapping):
        if "_modules" not in value.state:
            return None
        if value.weights is None:
            value.weights = dict(_weights(value, path="", depth=0))
        return value.weights
    return None


def _weights(module: Any, *, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Names and tensors of a module: its parameters, its buffers, its modules."""
    if not isinstance(module, Inert) or not isinstance(module.state, Mapping):
        return
    for part in ("_parameters", "_buffers"):
        for name, value in (module.state.get(part) or {}).items():
            if is_tensor(value):
                yield f"{path}{name}", value
    if depth < _MAX_MODULE_DEPTH:
        for name, value in (module.state.get("_modules") or {}).items():
            yield from _weights(value, path=f"{path}{name}.", depth=depth + 1)


def _holds_tensors(value: Any) -> bool:
    table = _table(value)
    return table is not None and any(is_tensor(entry) for entry in table.values())


# Attributes in which libraries of settings keep their entries; they are no step of a name.
_CONTENT = ("_content", "_val", "_data", "_fields", "_cfg_dict")
_MAX_FACTS = 10_000


def _facts(path: str, value: Any, *, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Plain values in ``value``: settings in dictionaries, and attributes of inert objects."""
    if isinstance(value, str | int | float | bool) or value is None:
        yield path, value
        return
    attributes = vars(value) if type(value).__name__ == "OrderedDict" and vars(value) else {}
    if isinstance(value, Inert) and isinstance(value.state, Mapping):
        attributes = value.state
        if "_modules" in attributes:
            return
    elif isinstance(value, Mapping):
        if any(is_tensor(entry) for entry in value.values()):
            return
        attributes = {**attributes, **value}
    if depth > _MAX_DEPTH or len(attributes) > _MAX_FACTS:
        return
    wrapped = [name for name in _CONTENT if name in attributes]
    for name in wrapped or attributes:
        entry = attributes[name]
        if wrapped:
            yield from _facts(path, entry, depth=depth + 1)
        elif isinstance(name, str) and (depth == 0 or not name.startswith("_")):
            yield from _facts(f"{path}.{name}", entry, depth=depth + 1)


def _describe(content: Any) -> str:
    table = _table(content)
    if table is None:
        return _kind(content)
    entries = (f"{key} ({_kind(value)})" for key, value in table.items())
    return name_some(entries) or "an empty table"


def _kind(value: Any) -> str:
    return "a tensor" if is_tensor(value) else type(value).__name__
