"""What a compiled program does: products and collectives, counted in its text.

XLA's own ``cost_analysis`` counts the body of a loop once. Here every instruction counts as often
as the loops around it turn, where the compiler knows how often that is; the products and the
collectives of the ring all stand in such loops. One device's part is counted.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import NamedTuple

COLLECTIVES = (
    "collective-permute",
    "all-gather",
    "all-reduce",
    "all-to-all",
    "reduce-scatter",
    "collective-broadcast",
)
_BITS = {"pred": 8, "bf16": 16, "f16": 16, "f32": 32, "f64": 64}
_SHAPE = re.compile(r"\b(pred|bf16|[fsuc]\d+)\[([\d,]*)\]")
_HEAD = re.compile(r"^(?:ENTRY )?%?([\w.-]+) \(.*\) -> .* \{$")
_INSTRUCTION = re.compile(r"^(?:ROOT )?%?([\w.-]+) = (.*?) ([a-z][\w-]*)\((.*)$")
_CALLED = re.compile(r"(?:calls|to_apply|body)=%?([\w.-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


class Collective(NamedTuple):
    """One kind of message: what it is, how large, and how often one device sends it."""

    kind: str
    bytes: int
    times: int


@dataclass
class Counts:
    """What one device does in one call.

    Attributes:
        product_flops: of matrix products, two a multiplication.
        collectives: messages.
        unknown_loops: loops of unknown length; their bodies count once.
    """

    product_flops: int = 0
    collectives: list[Collective] = field(default_factory=list)
    unknown_loops: int = 0

    @property
    def sent_bytes(self) -> int:
        """Bytes that leave one device in ``collective-permute``, which the ring consists of."""
        return sum(c.bytes * c.times for c in self.collectives if c.kind == "collective-permute")

    @property
    def largest_bytes(self) -> int:
        """Size of the largest message of any kind, as its result."""
        return max((c.bytes for c in self.collectives), default=0)


def count(text: str) -> Counts:
    """Count what ``compiled.as_text()`` describes."""
    computations, entry = computations_of(text)
    counts = Counts()
    _add(counts, computations, entry, 1)
    return counts


def shape_bytes(shape: str) -> int:
    """Bytes of a shape as it is written in a program; those of all parts of a tuple.

    >>> shape_bytes("(f32[2,3]{1,0}, bf16[4])")
    32
    """
    total = 0
    for kind, sizes in _SHAPE.findall(shape):
        bits = _BITS.get(kind) or int(re.sub(r"\D", "", kind))
        total += math.prod(_numbers(sizes)) * bits // 8
    return total


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def computations_of(text: str) -> tuple[dict[str, list[re.Match]], str]:
    """Instructions of every computation (name, shape, operation, rest), and the entry's name."""
    computations: dict[str, list[re.Match]] = {}
    current, entry = "", ""
    for line in text.splitlines():
        if head := _HEAD.match(line):
            current = head[1]
            computations[current] = []
            entry = current if line.startswith("ENTRY") else entry
        elif current and (instruction := _INSTRUCTION.match(line.strip())):
            computations[current].append(instruction)
    return computations, entry


def _add(counts: Counts, computations: dict[str, list[re.Match]], name: str, times: int) -> None:
    shapes = {instruction[1]: instruction[2] for instruction in computations[name]}
    for _, shape, operation, rest in (instruction.groups() for instruction in computations[name]):
        kind = operation.removesuffix("-start")
        inner = times
        if kind in COLLECTIVES:
            # A message on its way is written as a pair, what is sent and what arrives.
            halves = 2 if operation.endswith("-start") and shape.startswith("(") else 1
            counts.collectives.append(Collective(kind, shape_bytes(shape) // halves, times))
        elif operation == "dot":
            counts.product_flops += times * _product_flops(shape, rest, shapes)
        elif operation == "while":
            trips = TRIPS.search(rest)
            counts.unknown_loops += trips is None
            inner = times * (int(trips[1]) if trips else 1)
        called = _CALLED.findall(rest)
        if branches := _BRANCHES.search(rest):
            called += [part.strip().lstrip("%") for part in branches[1].split(",")]
        for other in called:
            _add(counts, computations, other, inner)


def _product_flops(shape: str, rest: str, shapes: dict[str, str]) -> int:
    left = rest.split(")")[0].split(",")[0].split("%")[-1].strip()
    sizes = _numbers(_SHAPE.findall(shapes[left])[0][1])
    contracted = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", rest)
    inner = math.prod(sizes[axis] for axis in _numbers(contracted[1])) if contracted else 1
    return 2 * inner * math.prod(_numbers(_SHAPE.findall(shape)[0][1]))
