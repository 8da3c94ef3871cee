"""Loops of a program whose number of turns grows with the points, seen before compiling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.compile_only.compilers import Target
from benchmarks.compile_only.kernels import Kernel, trace


def growing(kernel: Kernel, target: Target, points: int) -> list[str]:
    """Loops that turn more often for twice the points, as ``"program: 8 -> 16"``."""
    grown = []
    few, many = kernel.make(target, points), kernel.make(target, 2 * points)
    for one, two in zip(few, many, strict=True):
        lengths = [list(turns(trace(kernel, program).jaxpr.jaxpr)) for program in (one, two)]
        if len(lengths[0]) != len(lengths[1]):
            grown.append(f"{one.name}: {len(lengths[0])} loops become {len(lengths[1])}")
            continue
        grown += [f"{one.name}: {a} -> {b}" for a, b in zip(*lengths, strict=True) if b > a]
    return grown


def turns(jaxpr: Any, *, times: int = 1) -> Iterator[int]:
    """Turns of all loops of known length in a traced program, times those of the loops around."""
    for equation in jaxpr.eqns:
        inside = times
        if equation.primitive.name == "scan":
            inside = times * int(equation.params["length"])
            yield inside
        for value in equation.params.values():
            for inner in value if isinstance(value, list | tuple) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from turns(inner, times=inside)
