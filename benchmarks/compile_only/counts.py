"""What a compiled program does, read in its text; one device's part is counted.

A TPU's compiler notes the cycles it expects of each instruction; every instruction counts as often
as the loops around it turn. How often a loop turns is read from its condition, which compares a
counter with a constant; a loop that ends by its data counts once and is listed as such.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.measuring.hlo_counts import COLLECTIVES, TRIPS, computations_of, shape_bytes

_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_TARGET = re.compile(r'custom_call_target="([^"]*)"')
_OPERAND = re.compile(r"%[\w.-]+")
_METADATA = re.compile(r"metadata=\{[^}]*\}")
_LAYOUT = re.compile(r"\{[^}]*\}")
_INTEGER = re.compile(r"^[su]\d+\[\]")
# Calls by which a compiler notes facts; nothing is called.
_NOTES = {
    "AssumeGatherIndicesInBound",
    "GatherScatterIndicesBitpacked",
    "X64SplitLow",
    "X64SplitHigh",
    "X64Combine",
    "AllocateBuffer",
    "Sharding",
    "SPMDFullToShardShape",
    "SPMDShardToFullShape",
}
_HOST = {"send", "recv", "infeed", "outfeed"}
# Loops that a compiler makes of one instruction (a sort, a gather) have no more turns than this.
_WORK = {"sort", "custom-call"}


@dataclass
class Counts:
    """What one device does in one call.

    Attributes:
        cycles: that the compiler expects, loops counted; None where it does not say.
        trips: turns of each loop, times those of the loops around it, outermost first.
        endless: loops that end by their data; their bodies count once.
        collectives: bytes of the results, by kind, loops counted.
        calls: calls of kernels that XLA has not written, by name.
        no_estimate: instructions that work but have no estimate of cycles, by kind.
        unestimated: the same by name, each with its kind and how often it runs.
        alike: of these, what two that are compiled alike have in common, and two of one result.
        kernel: cycles of the Pallas kernel that takes most of them, loops counted.
        host: transfers to or from the host in the program.
        float64: whether the program as it was handed to the compiler has float64 in it.
        temporary: bytes beside arguments and results.
        arguments: bytes of the arguments.
        results: bytes of the results.
    """

    cycles: int | None = None
    trips: list[int] = field(default_factory=list)
    endless: int = 0
    collectives: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    no_estimate: dict[str, int] = field(default_factory=dict)
    unestimated: dict[str, tuple[str, int]] = field(default_factory=dict)
    alike: dict[str, tuple[str, str]] = field(default_factory=dict)
    kernel: int = 0
    host: int = 0
    float64: bool = False
    temporary: int = 0
    arguments: int = 0
    results: int = 0

    def add_bundles(self, bundles: dict[str, int]) -> None:
        """Count instructions without estimate by the bundles of their final programs.

        >>> counts = Counts(no_estimate={"sort": 3}, unestimated={"sort.1": ("sort", 3)})
        >>> counts.add_bundles({"sort.1": 10})
        >>> counts.cycles, counts.no_estimate
        (30, {})
        """
        # Of instructions that are compiled alike, libtpu writes the final program of one.
        written = {self.alike[name][0]: bundles[name] for name in self.alike if name in bundles}
        kernels = Counter()
        for name in list(self.unestimated):
            text, result = self.alike.get(name, (name, name))
            one = bundles.get(name, written.get(text))
            if one is None:
                continue
            kind, times = self.unestimated.pop(name)
            self.cycles = (self.cycles or 0) + times * one
            if kind == "tpu_custom_call":
                kernels[result] += times * one
            self.no_estimate[kind] -= times
            if not self.no_estimate[kind]:
                del self.no_estimate[kind]
        self.kernel = max([self.kernel, *kernels.values()])

    def as_json(self) -> dict[str, Any]:
        """As a dictionary of plain values."""
        return asdict(self)

    @classmethod
    def of_json(cls, values: dict[str, Any]) -> Counts:
        """The inverse of :meth:`as_json`."""
        return cls(**values)


def count(text: str) -> Counts:
    """Count what ``compiled.as_text()`` describes.

    Example:
        >>> program = '''
        ... %body (p: s32[]) -> s32[] {
        ...   %f = f32[8]{0} fusion(%p), calls=%g, backend_config={"estimated_cycles":"10"}
        ... }
        ... %cond (p: s32[]) -> pred[] {
        ...   %n = s32[]{:T(128)} constant(7)
        ...   ROOT %c = pred[] compare(%p, %n), direction=LT
        ... }
        ... ENTRY %main (a: s32[]) -> s32[] {
        ...   ROOT %w = s32[] while(%a), condition=%cond, body=%body
        ... }'''
        >>> counts = count(program)
        >>> counts.cycles, counts.trips
        (70, [7])
    """
    computations, entry = _computations(text)
    counts, total = Counts(), Counter()
    _add(counts, total, computations, entry, 1)
    if _CYCLES.search(text):
        counts.cycles = total["cycles"]
    return counts


def _computations(text: str) -> tuple[dict[str, list[tuple[str, ...]]], str]:
    computations, entry = computations_of(text)
    return {name: [one.groups() for one in listed] for name, listed in computations.items()}, entry


def _add(
    counts: Counts,
    total: Counter,
    computations: dict[str, list[tuple[str, ...]]],
    name: str,
    times: int,
) -> None:
    for instruction, shape, operation, rest in computations[name]:
        kind = operation.removesuffix("-start")
        cycles = _CYCLES.search(rest)
        total["cycles"] += times * int(cycles[1]) if cycles else 0
        target = _TARGET.search(rest)
        if kind in COLLECTIVES:
            # A message on its way is written as a pair, what is sent and what arrives.
            halves = 2 if operation.endswith("-start") and shape.startswith("(") else 1
            counts.collectives.setdefault(kind, 0)
            counts.collectives[kind] += times * shape_bytes(shape) // halves
        elif kind in _HOST:
            counts.host += times
        elif operation == "while":
            trips = _turns(rest, computations)
            counts.endless += trips is None
            inner = times * (1 if trips is None else trips)
            if trips is not None:
                counts.trips.append(inner)
            body = re.search(r"body=%?([\w.-]+)", rest)
            if body:
                _add(counts, total, computations, body[1], inner)
            continue
        elif target and target[1] not in _NOTES:
            counts.calls[target[1]] = counts.calls.get(target[1], 0) + times
        if operation in _WORK and not cycles and not (target and target[1] in _NOTES):
            named = target[1] if target else operation
            counts.no_estimate[named] = counts.no_estimate.get(named, 0) + times
            name = instruction.lstrip("%")
            counts.unestimated[name] = named, times
            text = _OPERAND.sub("", _METADATA.sub("", f"{shape} {operation} {rest}"))
            digest = hashlib.sha256(text.encode()).hexdigest()[:16]
            counts.alike[name] = digest, _LAYOUT.sub("", shape)
        for other in _called(operation, rest):
            _add(counts, total, computations, other, times)


def _called(operation: str, rest: str) -> list[str]:
    """Computations that stand for part of the program; fusions have their own estimate."""
    if operation == "conditional":
        branches = re.search(r"branch_computations=\{([^}]*)\}", rest)
        if branches:
            return [part.strip().lstrip("%") for part in branches[1].split(",")]
        return re.findall(r"(?:true|false)_computation=%?([\w.-]+)", rest)
    if operation in ("call", "async-start"):
        return re.findall(r"(?:to_apply|calls)=%?([\w.-]+)", rest)
    return []


def _turns(rest: str, computations: dict[str, list[tuple[str, ...]]]) -> int | None:
    """How often a loop turns; None where that depends on its data."""
    if known := TRIPS.search(rest):
        return int(known[1])
    condition = re.search(r"condition=%?([\w.-]+)", rest)
    if not condition:
        return None
    instructions = computations[condition[1]]
    limits, comparisons, other = [], 0, 0
    for _, shape, operation, more in instructions:
        if operation == "constant" and _INTEGER.match(shape):
            limits.append(int(more.split(")")[0]))
        elif operation == "compare":
            comparisons += 1
        elif operation in ("fusion", "reduce", "call"):
            other += 1
    # A counter against its limit, perhaps in halves of 64 bits, and nothing else.
    if other or not comparisons or not limits or max(limits) == 0:
        return None
    return max(limits)
