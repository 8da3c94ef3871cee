"""Rules that lead from the names in a checkpoint to canonical names, and how they are applied.

A :class:`Naming` is one published spelling of one family: a signature that tells it from others,
and anchored rules. A pattern must match a whole name; every name must be matched by exactly one
rule; every rule must match at least one name unless it says otherwise. So a name that nobody
foresaw is a problem that is reported, never a weight that is silently lost.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeVar

import numpy as np

Form = Literal["same", "token", "transposed", "kernel", "flat"]
Family = Literal["conv4", "resnet_cifar", "resnet", "vit", "convnext", "swin", "mobilenet"]
Arrays = Mapping[str, np.ndarray]

# How a tensor is stored elsewhere, and what makes it canonical.
_FORMS: Mapping[Form, Callable[[np.ndarray], np.ndarray]] = MappingProxyType(
    {
        "same": lambda a: a,
        # Tokens without an axis for the batch, [d] or [t, d].
        "token": lambda a: a.reshape(1, -1, a.shape[-1]),
        "transposed": lambda a: a.T,
        # Convolutions [row, column, in, out].
        "kernel": lambda a: a.transpose(3, 2, 0, 1),
        # One value a channel, with axes of length 1.
        "flat": lambda a: a.reshape(-1),
    }
)


@dataclass(frozen=True, kw_only=True)
class Rename:
    """A tensor that at most changes its name; ``target`` may use the groups of ``pattern``.

    Without a target the name stays as it is. ``form`` says how the file stores the values.
    """

    pattern: str
    target: str = r"\g<0>"
    optional: bool = False
    form: Form = "same"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One of several tensors that the canonical state holds joined along their first axis.

    ``blank`` are the positions that a file may leave out, where the values are zeros.
    """

    pattern: str
    target: str
    position: int
    of: int
    optional: bool = False
    blank: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Factor:
    """A tensor by which another one is multiplied, value by value."""

    pattern: str
    target: str
    optional: bool = True


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A tensor stored a second time; dropped once it equals ``original`` bit for bit."""

    pattern: str
    original: str
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class Drop:
    """A tensor that is no part of the encoder, and why."""

    pattern: str
    reason: str
    optional: bool = True


Rule = Rename | Part | Factor | Copy | Drop
AnyRule = TypeVar("AnyRule", bound=Rule)


@dataclass(frozen=True, kw_only=True)
class Naming:
    """One published spelling of the weights of one family.

    Attributes:
        name: what to call it in reports.
        family: the family of encoders it spells.
        signature: names that every file in this spelling has, behind one common prefix.
        absent: names that no file in this spelling has behind that prefix.
        rules: what becomes of each name, the prefix taken off.
        finish: what is left to do with the canonical arrays, where names alone do not tell.
    """

    name: str
    family: Family
    signature: tuple[str, ...]
    absent: tuple[str, ...] = ()
    rules: tuple[Rule, ...]
    finish: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] | None = None


@dataclass(frozen=True, kw_only=True)
class Translation:
    """What the rules made of the names of one checkpoint.

    Attributes:
        state: canonical name to array.
        mapped: name in the file to canonical name.
        dropped: name in the file to the reason why it is not in ``state``.
        problems: one sentence for everything that did not go as the rules demand.
    """

    state: dict[str, np.ndarray] = field(default_factory=dict)
    mapped: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


COUNTERS = Drop(
    pattern=r"(?:.*\.)?num_batches_tracked", reason="a counter of training steps, not a weight"
)


def matching(rules: Iterable[AnyRule], name: str) -> list[tuple[AnyRule, re.Match[str]]]:
    """The rules whose pattern is all of ``name``, each with its match."""
    tried = ((rule, re.fullmatch(rule.pattern, name)) for rule in rules)
    return [(rule, match) for rule, match in tried if match is not None]


def translate(naming: Naming, arrays: Arrays) -> Translation:
    """Apply the rules of ``naming`` to named arrays, the prefix already taken off.

    Never raises: everything that is wrong stands in ``problems``.
    """
    made = Translation()
    # Target to its pieces by position; a weight that is only renamed is a single piece.
    pieces: dict[str, dict[int, np.ndarray]] = defaultdict(dict)
    wanted: dict[str, tuple[int, tuple[int, ...]]] = {}
    factors: dict[str, tuple[str, np.ndarray]] = {}
    used: set[Rule] = set()
    for name, array in arrays.items():
        matches = matching(naming.rules, name)
        if len(matches) != 1:
            made.problems.append(_mismatch(name, [rule for rule, _ in matches]))
            continue
        rule, match = matches[0]
        used.add(rule)
        if isinstance(rule, Drop):
            made.dropped[name] = rule.reason
        elif isinstance(rule, Copy):
            _take_copy(made, name, original=match.expand(rule.original), arrays=arrays)
        elif isinstance(rule, Factor):
            made.mapped[name] = match.expand(rule.target)
            factors[name] = (made.mapped[name], array)
        else:
            target = made.mapped[name] = match.expand(rule.target)
            position, wanted[target] = 0, (1, ())
            if isinstance(rule, Part):
                position, wanted[target] = rule.position, (rule.of, rule.blank)
            elif (reshaped := _in_form(made, name, array, rule.form)) is None:
                continue
            else:
                array = reshaped
            if position in pieces[target]:
                made.problems.append(f"{target} is filled twice, the second time from {name}")
            pieces[target][position] = array
    for target, parts in pieces.items():
        of, blank = wanted[target]
        _join(made, target, parts, of=of, blank=blank)
    for name, (target, factor) in factors.items():
        _multiply(made, name, target, factor)
    made.problems.extend(
        f"no name in the file matches {rule.pattern}, which the {naming.name} naming has"
        for rule in naming.rules
        if not rule.optional and rule not in used
    )
    if naming.finish is not None and not made.problems:
        finished = naming.finish(dict(made.state))
        made.state.clear()
        made.state.update(finished)
    return made


def _in_form(made: Translation, name: str, array: np.ndarray, form: Form) -> np.ndarray | None:
    axes = {"kernel": (4,), "transposed": (2,), "token": (1, 2, 3)}.get(form)
    if axes is not None and array.ndim not in axes:
        made.problems.append(f"{name}: expected {axes[0]} axes, got shape {array.shape}")
        return None
    return _FORMS[form](array)


def _multiply(made: Translation, name: str, target: str, factor: np.ndarray) -> None:
    if target not in made.state or made.state[target].shape != factor.shape:
        shape = made.state[target].shape if target in made.state else "which is missing"
        made.problems.append(f"{name} of shape {factor.shape} should multiply {target}, {shape}")
        return
    # Where the factor is 0 the value is never used, whatever it is.
    made.state[target] = np.where(factor == 0, 0.0, made.state[target] * factor)


def _mismatch(name: str, rules: list[Rule]) -> str:
    if not rules:
        return f"{name} is known to no rule"
    return f"{name} is claimed by several rules: {', '.join(rule.pattern for rule in rules)}"


def _take_copy(made: Translation, name: str, *, original: str, arrays: Arrays) -> None:
    if original not in arrays:
        made.problems.append(f"{name} should repeat {original}, which is missing")
    elif not _same_bits(arrays[name], arrays[original]):
        made.problems.append(f"{name} should repeat {original} bit for bit, but differs")
    else:
        made.dropped[name] = "stored a second time, bit for bit the same"


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    # Compared as bytes: NaN must equal itself here, and 0.0 must not equal -0.0.
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _join(
    made: Translation,
    target: str,
    pieces: Mapping[int, np.ndarray],
    *,
    of: int,
    blank: tuple[int, ...],
) -> None:
    like = next(iter(pieces.values()))
    pieces = {position: np.zeros_like(like) for position in blank} | dict(pieces)
    missing = [str(position + 1) for position in range(of) if position not in pieces]
    if missing:
        made.problems.append(f"{target} is joined from {of} tensors; missing {', '.join(missing)}")
        return
    ordered = [pieces[position] for position in range(of)]
    if len({piece.shape for piece in ordered}) > 1:
        shapes = ", ".join(str(piece.shape) for piece in ordered)
        made.problems.append(f"{target} is joined from tensors of one shape; got {shapes}")
        return
    made.state[target] = ordered[0] if of == 1 else np.concatenate(ordered)
