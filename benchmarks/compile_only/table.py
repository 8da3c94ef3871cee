"""What compiled kernels come to, a row a program and one in all, and the table for people."""

from __future__ import annotations

from typing import Any

from benchmarks.compile_only.cache import compile_and_count
from benchmarks.compile_only.compilers import Target
from benchmarks.compile_only.counts import Counts
from benchmarks.compile_only.kernels import ALL, Kernel, lower


def rows_of(kernel: Kernel, target: Target, points: int) -> list[dict[str, Any]]:
    """Compile the programs of a kernel; the last row is about all of them.

    A program that does not compile has its reason in ``compiles`` and nothing else.
    """
    device = target.device
    rows, cycles, failed = [], 0, False
    for program in kernel.make(target, points):
        row: dict[str, Any] = {
            "device": device.name,
            "kernel": kernel.name,
            "points": points,
            "program": program.name,
            "times": program.times,
            "compiles": "yes",
        }
        rows.append(row)
        try:
            counts = compile_and_count(lower(kernel, program), device)
        except Exception as error:  # whatever a compiler may raise: it is what we ask
            row["compiles"] = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
            failed = True
            continue
        row |= _facts(counts, points // device.chips)
        if device.clock is not None and counts.calls and "cycles" in row:
            # Bundles do not count that a matrix unit makes them wait.
            product = int(program.flops / device.bfloat16 * device.clock)
            row["cycles"] += max(0, product - counts.kernel)
        cycles += row.get("cycles", 0) * program.times
    total: dict[str, Any] = {
        "device": device.name,
        "kernel": kernel.name,
        "points": points,
        "program": ALL,
        "compiles": "no" if failed else "yes",
    }
    known = [row for row in rows if "temporary MiB" in row]
    if known:
        total["temporary MiB"] = max(row["temporary MiB"] for row in known)
    if device.clock is not None and cycles and not failed:
        total["cycles"] = cycles
        total["seconds"] = cycles / device.clock
        total["cycles a point"] = cycles / (points / device.chips)
        if kernel.product is not None:
            flops = kernel.product(points) / device.chips
            total["of the matrix unit"] = flops / device.bfloat16 * device.clock / cycles
            total["times product"] = 1 / total["of the matrix unit"]
            moved = sum(row["argument bytes"] + row["result bytes"] for row in known)
            roofline = max(flops / device.bfloat16, moved / device.memory_rate)
            total["times roofline"] = cycles / device.clock / roofline
    return [*rows, total]


def _facts(counts: Counts, points: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "temporary MiB": round(counts.temporary / 2**20, 1),
        "argument bytes": counts.arguments,
        "result bytes": counts.results,
        "loops": counts.trips,
        "loops over points": [turns for turns in counts.trips if turns >= points],
        "loops that end by data": counts.endless,
        "collective bytes": counts.collectives,
        "custom calls": counts.calls,
        "without estimate": counts.no_estimate,
        "float64": counts.float64,
        "host transfers": counts.host,
    }
    if counts.cycles is not None:
        row["cycles"] = counts.cycles
    return row


def as_text(rows: list[dict[str, Any]]) -> str:
    """A table: one line a program, its figures in columns."""
    columns = (
        "device", "kernel", "program", "compiles", "cycles", "times product", "times roofline",
        "cycles a point", "temporary MiB", "loops over points", "without estimate", "float64",
        "collective bytes",
    )  # fmt: skip
    lines = [columns]
    for row in rows:
        lines.append(tuple(_shown(row.get(column, "")) for column in columns))
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, dict):
        return " ".join(f"{name} {count:.3g}" for name, count in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value)
