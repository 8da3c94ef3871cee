"""Which spelling a table of names is in, and behind which prefix.

Training code adds prefixes at will (``module.``, ``backbone.``, ``encoder_q.``). They are not
listed anywhere: whatever stands before all names of a signature is the prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mgm_converters.naming import NAMINGS
from mgm_converters.naming.heads import OUTSIDE
from mgm_converters.naming.rules import Family, Naming, matching
from mgm_jax.errors import InputError, name_some

# Of two networks in one file the one on the right is the one its authors evaluate.
_EVALUATED_TWIN = (
    ("encoder_k", "encoder_q"),
    ("encoder_k", "encoder"),
    ("momentum_encoder", "base_encoder"),
    ("student", "teacher"),
)


@dataclass(frozen=True, kw_only=True)
class Recognised:
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


def recognise(names: Sequence[str], *, file: Path, family: Family | None = None) -> Recognised:
    """Find the spelling of a table of names.

    Args:
        names: all names in the file.
        file: for messages.
        family: where given, only spellings of this family count.

    Raises:
        InputError: no spelling fits, or several do; the message lists what was looked for.
    """
    found = [
        (naming, prefix)
        for naming in NAMINGS
        if family in (None, naming.family)
        for prefix in _prefixes(naming, names)
    ]
    twins = {prefix: kept for _, prefix in found if (kept := _twin(prefix, found)) is not None}
    candidates = [(naming, prefix) for naming, prefix in found if prefix not in twins]
    if not candidates:
        raise _unknown(names, file, family)
    if len(candidates) > 1:
        listed = "; ".join(f"{naming.name} behind {_shown(p)}" for naming, p in candidates)
        raise InputError(
            f"{file}: holds several encoders: {listed}. Name the architecture that is meant, or "
            "save the one encoder alone: torch.save(model.state_dict(), FILE)"
        )
    naming, prefix = candidates[0]
    dropped: dict[str, str] = {}
    left: list[str] = []
    for name in names:
        if name.startswith(prefix):
            continue
        reason = _why_outside(name, twins)
        if reason is None:
            left.append(name)
        else:
            dropped[name] = reason
    return Recognised(
        naming=naming,
        prefix=prefix,
        inside=tuple(name for name in names if name.startswith(prefix)),
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


def _twin(prefix: str, found: Sequence[tuple[Naming, str]]) -> str | None:
    """The prefix of the network that is evaluated instead of the one behind ``prefix``."""
    steps = prefix.split(".")
    for trained, evaluated in _EVALUATED_TWIN:
        kept = ".".join(evaluated if step == trained else step for step in steps)
        if kept != prefix and any(kept == other for _, other in found):
            return kept
    return None


def _why_outside(name: str, twins: dict[str, str]) -> str | None:
    for prefix, kept in twins.items():
        if name.startswith(prefix):
            return f"the twin of the network behind {_shown(kept)}, which is evaluated"
    rules = matching(OUTSIDE, name)
    return rules[0][0].reason if rules else None


def _shown(prefix: str) -> str:
    return f"the prefix {prefix}" if prefix else "no prefix"


def _unknown(names: Sequence[str], file: Path, family: Family | None) -> InputError:
    wanted = "\n".join(
        f"  {naming.name}: {', '.join(naming.signature)}"
        for naming in NAMINGS
        if family in (None, naming.family)
    )
    kind = f"{family} " if family else ""
    return InputError(
        f"{file}: the names of its {len(names)} tensors are in no known spelling of a "
        f"{kind}encoder. They are {name_some(names, most=6)}. Expected, behind any one prefix, "
        f"the names of one of\n{wanted}"
    )
