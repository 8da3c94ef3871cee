"""The encoder of a file that is meant: every table is looked through, and one copy chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mgm_converters.naming.rules import Family
from mgm_converters.reading.arrays import to_array
from mgm_converters.reading.partitioned import partition_of_names, partition_of_shapes
from mgm_converters.reading.read import Checkpoint
from mgm_converters.reading.unwrap import Unwrapped, tables, tensors_at, unwrap
from mgm_converters.reading.wrappers import without_wrappers
from mgm_converters.recognition.copies import Candidate, choose
from mgm_converters.recognition.nearest import unknown
from mgm_converters.recognition.spelling import DividedNames, divide, encoders_in
from mgm_jax.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Selected:
    """One encoder of a file.

    Attributes:
        unwrapped: the table that it lies in; names without wrappers of modules.
        divided: how those names divide.
        names: name without wrappers to the name in the file.
        copies: the other copies of the encoder, path to reason.
        taken: path of the copy that was taken, where there are several; else empty.
        doubt: why another copy may be meant; empty where that is known.
    """

    unwrapped: Unwrapped
    divided: DividedNames
    names: dict[str, str]
    copies: dict[str, str]
    taken: str
    doubt: str


def select_encoder(
    checkpoint: Checkpoint,
    *,
    family: Family | None = None,
    copy: str | None = None,
    prefix: str | None = None,
    key: str | None = None,
) -> Selected:
    """Find the one encoder of a file that is meant.

    Args:
        checkpoint: the file.
        family: where given, only encoders of this family count.
        copy: name of the copy that is wanted, where there are several.
        prefix: what stands before its names.
        key: that leads to its table.

    Raises:
        InputError: no encoder is found, weights are in pieces, or it is not known which of several
            is meant.
    """
    cleaned = {keys: without_wrappers(names) for keys, names in tables(checkpoint)}
    candidates = [
        one
        for keys, names in cleaned.items()
        for one in encoders_in(tuple(names), keys=keys, family=family)
    ]
    if not candidates:
        raise _nothing(checkpoint, family)
    held: dict[tuple[str, ...], dict[str, Any]] = {}

    def tensors(one: Candidate) -> dict[str, Any]:
        if one.keys not in held:
            held[one.keys] = tensors_at(checkpoint, one.keys)
        names = cleaned[one.keys]
        start = len(one.prefix)
        table = held[one.keys]
        return {n[start:]: table[o] for n, o in names.items() if n.startswith(one.prefix)}

    shown = [".".join((*keys, name)) for keys, names in cleaned.items() for name in names]
    facts = unwrap(checkpoint, candidates[0].keys).facts
    choice = choose(
        candidates,
        file=checkpoint.path,
        same=lambda a, b: _same(tensors(a), tensors(b)),
        facts=facts,
        names=shown,
        copy=copy,
        prefix=prefix,
        key=key,
    )
    taken = choice.taken
    names = cleaned[taken.keys]
    unwrapped = unwrap(checkpoint, taken.keys)
    divided = divide(tuple(names), choice)
    shares = partition_of_shapes(
        tuple(unwrapped.tensors[names[name]].shape) for name in divided.inside
    )
    if shares:
        raise InputError(f"{checkpoint.path}: {shares}")
    copies = {
        ".".join((*one.keys, one.prefix)).rstrip("."): reason for one, reason in choice.left.items()
    }
    return Selected(
        unwrapped=replace(
            unwrapped,
            tensors={name: unwrapped.tensors[own] for name, own in names.items()},
            passed={**unwrapped.passed, **{k: v for k, v in copies.items() if k}},
        ),
        divided=divided,
        names=names,
        copies=copies,
        taken=taken.label if choice.left else "",
        doubt=choice.doubt,
    )


def _nothing(checkpoint: Checkpoint, family: Family | None) -> InputError:
    """The error of a file without an encoder that is known."""
    unwrapped = unwrap(checkpoint)
    shares = partition_of_names(unwrapped.tensors)
    if shares:
        return InputError(f"{checkpoint.path}: {shares}")
    return unknown(tuple(unwrapped.tensors), file=checkpoint.path, family=family)


def _same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two networks hold the same values under the same names."""
    few, many = sorted((a, b), key=len)
    # A head or a projection may stand beside one of the two.
    common = few.keys() & many.keys()
    if len(common) < 0.8 * len(few):
        return False
    return all(_equal(few[name], many[name]) for name in common)


def _equal(a: Any, b: Any) -> bool:
    if tuple(a.shape) != tuple(b.shape):
        return False
    try:
        return bool(np.array_equal(to_array(a), to_array(b)))
    except TypeError:
        return False
