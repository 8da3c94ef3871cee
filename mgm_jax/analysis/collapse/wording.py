"""The sentences that state whether untrained encoders are collapsed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mgm_jax.analysis.collapse.comparison import Estimate
from mgm_jax.analysis.collapse.families import COSINE, FamilyCollapse

# What is said of the families of each verdict, in this order.
_VERDICTS = {
    "collapsed": "{names} {are} collapsed",
    "not collapsed": "{names} {are} not collapsed",
    "undecided": "{names} {are} undecided",
}
# After "is collapsed", a bare "is not" reads better.
_NOT_EITHER = "{names} {are} not"

_CLAIMS = {
    "holds": "the paper’s third claim holds on {images}",
    "fails": "the paper’s third claim does not hold on {images}",
    "open": "the paper’s third claim stays open on {images}",
    "untested": "the paper’s third claim needs untrained ResNets and ViTs side by side",
}
_HEADLINE = "Untrained {verdicts}: {claim}."

_COSINES = "Two different images point the same way with a mean cosine of {families}."
_NO_COSINES = "The mean cosine between different images was not measured."


def headline_of(families: Sequence[FamilyCollapse], claim: str, images: str) -> str:
    """One sentence without numbers: which families are collapsed, and what follows.

    The raw pixels do not appear in it.
    """
    parts: list[str] = []
    for verdict, template in _VERDICTS.items():
        names = [one.name for one in families if not one.control and one.verdict == verdict]
        if names:
            template = _NOT_EITHER if parts and verdict == "not collapsed" else template
            are = "is" if len(names) == 1 else "are"
            parts.append(template.format(names=join_names(names), are=are))
    return _HEADLINE.format(verdicts=", ".join(parts), claim=_CLAIMS[claim].format(images=images))


def statement_of(families: Sequence[FamilyCollapse], *, level: float) -> str:
    """One sentence with numbers: the mean cosine of each family with its interval."""
    parts = []
    for family in families:
        cosine = family.measures.get(COSINE.name)
        if cosine is not None:
            parts.append(f"{_numbers(cosine, first=not parts, level=level)} for {_who(family)}")
    return _COSINES.format(families=join_names(parts)) if parts else _NO_COSINES


def join_names(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``.

    >>> join_names(["ResNet", "Conv4", "ViT"])
    'ResNet, Conv4 and ViT'
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _who(family: FamilyCollapse) -> str:
    if family.control:
        return family.name
    seeds = len(family.encoders)
    return f"untrained {family.name} ({seeds} seed{'s' * (seeds != 1)})"


def _numbers(value: Estimate, *, first: bool, level: float) -> str:
    if not math.isfinite(value.low):
        return _cosine(value.value)
    name = f"{100 * level:g} % interval " if first else ""
    return f"{_cosine(value.value)} ({name}{_cosine(value.low)} to {_cosine(value.high)})"


def _cosine(value: float) -> str:
    """Three decimals, or as many as keep a value short of 1 from reading 1."""
    gap = 1 - abs(value)
    decimals = 3 if gap <= 0 or gap >= 0.0005 else min(9, 1 - math.floor(math.log10(gap)))
    return f"{value:.{decimals}f}"
