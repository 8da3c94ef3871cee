"""Which spelling a table of names is in, and behind which prefix.

Training code adds prefixes at will (``module.``, ``backbone.``, ``encoder_q.``). They are not
listed anywhere: whatever stands before all names of a signature is the prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mgm_converters.naming import NAMINGS
from mgm_converters.naming.heads import OUTSIDE
from mgm_converters.naming.rules import Family, Naming, matching
from mgm_converters.recognition.copies import Candidate, Choice


@dataclass(frozen=True, kw_only=True)
class DividedNames:
    """A spelling, and how the names of a file divide.

    Attributes:
        naming: the spelling.
        prefix: what stands before every name of the encoder, with its last dot; may be empty.
        inside: names of the encoder, prefix still on.
        dropped: other names that are known, each with the reason why it is dropped.
        left: other names, of which nothing is known.
    """

    naming: Naming
    prefix: str
    inside: tuple[str, ...]
    dropped: dict[str, str]
    left: tuple[str, ...]


def encoders_in(
    names: Sequence[str], *, keys: tuple[str, ...] = (), family: Family | None = None
) -> list[Candidate]:
    """Every encoder whose names are in one table, behind whatever prefix.

    Args:
        names: all names in the table, wrappers taken out.
        keys: that led to the table.
        family: where given, only spellings of this family count.
    """
    return [
        Candidate(keys=keys, prefix=prefix, naming=naming)
        for naming in NAMINGS
        if family in (None, naming.family)
        for prefix in _prefixes(naming, names)
    ]


def divide(names: Sequence[str], choice: Choice) -> DividedNames:
    """How the names of a table divide into the encoder that was taken and what is outside.

    Args:
        names: all names in the table of the encoder, wrappers taken out.
        choice: which was taken.
    """
    taken = choice.taken
    beside = {
        one.prefix: reason
        for one, reason in choice.left.items()
        if one.keys == taken.keys and one.prefix
    }
    dropped: dict[str, str] = {}
    left: list[str] = []
    inside: list[str] = []
    for name in names:
        reason = next((why for start, why in beside.items() if name.startswith(start)), None)
        if name.startswith(taken.prefix) and not (reason and not taken.prefix):
            inside.append(name)
            continue
        if reason is None:
            rules = matching(OUTSIDE, name)
            reason = rules[0][0].reason if rules else None
        if reason is None:
            left.append(name)
        else:
            dropped[name] = reason
    return DividedNames(
        naming=taken.naming,
        prefix=taken.prefix,
        inside=tuple(inside),
        dropped=dropped,
        left=tuple(left),
    )


def _prefixes(naming: Naming, names: Sequence[str]) -> list[str]:
    """Every prefix behind which ``names`` has the signature of ``naming``."""
    anchor, *others = naming.signature
    known = set(names)
    starts = (name.removesuffix(anchor) for name in names if name.endswith(anchor))
    return [
        start
        for start in starts
        if (not start or start.endswith("."))
        and all(start + other in known for other in others)
        and not any(start + other in known for other in naming.absent)
    ]
