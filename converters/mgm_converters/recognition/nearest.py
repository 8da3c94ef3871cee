"""The known spelling that a table of names comes nearest to, for the message where none fits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mgm_converters.naming import NAMINGS
from mgm_converters.naming.rules import Family, Naming
from mgm_jax.errors import InputError, name_some

# Enough names to tell spellings apart.
_MAX_NAMES = 400
_WAY_ON = (
    "The way on: embed with the network's own program and pass the features, or hand over any "
    "encoder as a callable from images to features (docs/howto/encoders.md)"
)


def unknown(names: Sequence[str], *, file: Path, family: Family | None = None) -> InputError:
    """The error of a table in no known spelling: what it is, what is nearest, and the way on."""
    kind = f"a {family} encoder" if family else "an encoder"
    lines = [
        f"{file}: the names of its {len(names)} tensors are in no known spelling of {kind}. "
        f"They are {name_some(names, most=6)}.",
        _nearest(names, family),
        _WAY_ON,
    ]
    return InputError("\n".join(lines))


def _nearest(names: Sequence[str], family: Family | None) -> str:
    few = list(names)[:_MAX_NAMES]
    best: tuple[int, int, Naming, str, list[str]] | None = None
    for naming in NAMINGS:
        if family not in (None, naming.family):
            continue
        known = re.compile("|".join(f"(?:{_anonymous(rule.pattern)})" for rule in naming.rules))
        for prefix in _prefixes(few):
            tails = [name.removeprefix(prefix) for name in few if name.startswith(prefix)]
            odd = [tail for tail in tails if not known.fullmatch(tail)]
            absent = [one for one in naming.signature if one not in set(tails)]
            fitting = len(tails) - len(odd)
            score = (fitting - len(few) * len(absent) // 8, fitting)
            if fitting and (best is None or score > best[:2]):
                best = (*score, naming, prefix, odd)
    if best is None:
        return "None of its names is known of any encoder."
    _, fitting, naming, prefix, odd = best
    inside = {name.removeprefix(prefix) for name in names}
    absent = [one for one in naming.signature if one not in inside]
    behind = f" behind the prefix {prefix}" if prefix else ""
    return (
        f"Nearest is {naming.name}{behind}: {fitting} of {len(few)} names fit"
        + (f"; the first that do not: {name_some(odd, most=3)}" if odd else "")
        + (f"; expected and missing: {name_some(absent, most=3)}" if absent else "")
        + "."
    )


def _anonymous(pattern: str) -> str:
    """A pattern without the names of its groups, so that many can stand in one."""
    return re.sub(r"\(\?P<\w+>", "(?:", pattern)


def _prefixes(names: Sequence[str]) -> list[str]:
    """Beginnings that many names share, and none."""
    counts: Counter[str] = Counter()
    for name in names:
        steps = name.split(".")
        for depth in range(1, min(len(steps), 5)):
            counts[".".join(steps[:depth]) + "."] += 1
    often = [start for start, count in counts.most_common(12) if count >= max(2, len(names) // 4)]
    return ["", *often]
