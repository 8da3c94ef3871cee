"""Side-by-side timing: the contestants take turns, the median of the turns counts.

The machine's speed drifts, so only ratios of one run mean anything; every script prints them and
writes them with date, hardware and versions to ``benchmarks/results``.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mgm_jax.parallel.cpus import available_cpus

RESULTS = Path(__file__).parents[1] / "results"
# Threads of OpenBLAS and OpenMP stay awake for tens of milliseconds after a product, and would take
# the cores of who comes next.
_REST = 0.1
_LIBRARIES = ("jax", "numpy", "scipy", "scikit-learn", "faiss-cpu", "torch", "optax")


def interleaved(
    contestants: Mapping[str, Callable[[], object]], *, turns: int, uncounted: int = 1
) -> dict[str, float]:
    """Median seconds of each contestant over ``turns`` turns, after some uncounted ones.

    After each call there is a rest, in which the threads of its libraries go to sleep.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(uncounted + turns):
        for name, call in contestants.items():
            time.sleep(_REST)
            start = time.perf_counter()
            call()
            if turn >= uncounted:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def hardware() -> dict[str, object]:
    """What the figures were measured on."""
    import jax

    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), model)
    versions = {}
    for library in _LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.date.today().isoformat(),
        "processor": model,
        "cores": available_cpus(),
        "devices": [device.device_kind for device in jax.devices()],
        "versions": versions,
    }


def report(question: str, rows: list[dict[str, object]], *, folder: Path = RESULTS) -> None:
    """Print ``rows`` as a table and write them to ``<question>.json`` in the folder of results."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_shown(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in [columns, *cells]) for i in range(len(columns))]
    for line in [columns, *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
    folder.mkdir(exist_ok=True)
    target = folder / f"{question}.json"
    target.write_text(json.dumps({"hardware": hardware(), "rows": rows}, indent=2) + "\n")
    print(f"written to {target}")


def reported(question: str) -> list[dict[str, Any]]:
    """Rows that an earlier run on the same hardware left; none where there are no such."""
    target = RESULTS / f"{question}.json"
    if not target.exists():
        return []
    content = json.loads(target.read_text())
    return content["rows"] if content["hardware"] == hardware() else []


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
