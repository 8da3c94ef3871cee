"""What a conversion did, in full: for the terminal, and for the file beside the weights."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mgm_converters.verification.verify import TapCheck
from mgm_jax.errors import InputError, name_some

# The message of an error stays readable; ``ConversionError.problems`` holds them all.
_MAX_LINES = 30


class ConversionError(InputError):
    """A checkpoint that cannot be converted, with everything that is wrong with it.

    Attributes:
        problems: one sentence each.
    """

    def __init__(self, file: object, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        shown = [f"  {problem}" for problem in self.problems[:_MAX_LINES]]
        if len(self.problems) > _MAX_LINES:
            shown.append(f"  and {len(self.problems) - _MAX_LINES} more")
        count = "one problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n".join([f"{file}: {count}, nothing was written", *shown]))


@dataclass(frozen=True, kw_only=True)
class Report:
    """What became of every tensor of a checkpoint.

    Attributes:
        source: name of the file.
        sha256: of its bytes.
        format: ``pytorch``, ``safetensors``, ``torchscript`` or ``pickle``.
        keys: keys that were followed to the weights, outermost first.
        prefix: what stood before the names of the encoder.
        naming: the spelling that was recognised.
        architecture: what was built, one line.
        paradigm: how it was trained.
        guessed: whether that is a guess, neither stated by the file nor known of a published one.
        method: the methods it may have been trained by, joined by "or"; empty where nothing tells.
        published: name of the published encoder, empty where it is none or not known to be one.
        known: how ``published`` is known.
        doubt: what the file leaves open, what was assumed and how to say better; may be empty.
        mapped: name in the file to canonical name.
        dropped: name or key in the file to the reason why it is not in the encoder.
        left: names outside the encoder of which nothing is known.
        taken: which copy of the encoder was taken, where the file holds several; else empty.
        copies: the other copies, path in the file to the reason why they were left.
        stated: what the file itself says of what no weight reveals.
        assumptions: what nothing reveals, with the value that was taken.
        training: what the file itself says of its training, plain values.
        verification: one comparison with PyTorch a tap; empty where there was none.
        unverified: why there was none; empty where there was one.
        converter_version: of the rules that were applied.
        torch_version: of the PyTorch that is installed; empty where none is.
    """

    source: str
    sha256: str
    format: str
    keys: tuple[str, ...]
    prefix: str
    naming: str
    architecture: str
    paradigm: str
    mapped: Mapping[str, str]
    dropped: Mapping[str, str]
    left: tuple[str, ...]
    assumptions: tuple[str, ...]
    stated: tuple[str, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    guessed: bool = True
    verification: tuple[TapCheck, ...] = ()
    unverified: str = "it was not asked for"
    converter_version: str
    torch_version: str
    method: str = ""
    published: str = ""
    known: str = ""
    doubt: str = ""
    taken: str = ""
    copies: Mapping[str, str] = field(default_factory=dict)

    @property
    def largest_error(self) -> float | None:
        """The largest relative error of all taps; None where nothing was verified."""
        return max((check.error for check in self.verification), default=None)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The report for a terminal, one line an entry."""
        where = "".join(f"[{key}]" for key in self.keys) + (f" {self.prefix}*" * bool(self.prefix))
        reasons: dict[str, list[str]] = defaultdict(list)
        for name, reason in self.dropped.items():
            reasons[reason].append(name)
        lines = [
            f"source        {self.source}{f' {where}' if where else ''}",
            f"sha256        {self.sha256}",
            f"recognised    {self.naming}: {self.architecture}",
            f"training      {self.paradigm}"
            + f", {self.method}" * bool(self.method)
            + (" (a guess)" if self.guessed else "" if self.published else " (stated by the file)"),
            *([f"published     {self.published}, {self.known}"] if self.published else []),
            *([f"in doubt      {self.doubt}"] if self.doubt else []),
            *([f"copies        {self.taken} was taken"] if self.taken else []),
            *(f"  left {path or 'the top'}: {reason}" for path, reason in self.copies.items()),
            f"mapped        {len(self.mapped)} tensors",
            *_mapped_lines(self.mapped),
            f"dropped       {len(self.dropped)}",
            *(f"  {reason}: {name_some(names, most=3)}" for reason, names in reasons.items()),
            f"left          {name_some(self.left) or 'nothing'}",
            *([f"stated        {'; '.join(self.stated)}"] if self.stated else []),
            f"assumed       {'; '.join(self.assumptions) or 'nothing'}",
        ]
        if self.verification:
            worst = max(self.verification, key=lambda check: check.error)
            lines.append(
                f"verified      {len(self.verification)} taps against PyTorch "
                f"{self.torch_version}, largest relative error {worst.error:.1e} at {worst.tap}"
            )
        else:
            lines.append(f"not verified  {self.unverified}")
        return lines


def _mapped_lines(mapped: Mapping[str, str]) -> list[str]:
    """One line a kind of tensor, numbers of layers replaced by a star."""
    kinds = Counter((_starred(name), _starred(target)) for name, target in mapped.items())
    kept = sum(count for (name, target), count in kinds.items() if name.endswith(target))
    lines = [f"  {kept} under their own names"] if kept else []
    return lines + [
        f"  {count}: {name} -> {target}"
        for (name, target), count in kinds.items()
        if not name.endswith(target)
    ]


def _starred(name: str) -> str:
    return re.sub(r"(?<![^.])\d+(?![^.])", "*", name)
