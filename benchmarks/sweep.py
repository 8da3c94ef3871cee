"""What a sweep costs: against strengths, encoders and taps; what the driver itself takes; memory.

    python -m benchmarks.sweep growth     # seconds of embedding and measuring, one factor at a time
    python -m benchmarks.sweep driver     # a finished study of 300 cells run again: all is there
    python -m benchmarks.sweep memory     # peak memory of that, at more and more cells
    python -m benchmarks.sweep groups     # 20 000 groups of 16 views: metrics, and their summary

The encoders are untrained Conv4 of 32 pixels on the built-in digits: small, so that what the
driver adds is seen best.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring.timing import report
from mgm_jax import manifold_metrics
from mgm_jax.images import SETTINGS
from mgm_jax.study import Study, make_study
from mgm_jax.sweep import run_study
from mgm_jax.sweep.output.layout import read_layouts
from mgm_jax.sweep.run import study as run

_SINGLE = list(SETTINGS)[5:]


def study_of(
    *,
    encoders: int = 1,
    settings: int = 1,
    strengths: int = 1,
    taps: int = 1,
    images: int = 20,
    views: int = 16,
) -> Study:
    """A study of a given size."""
    named = ["flatten", "block1", "block2", "block3"][:taps]
    return make_study(
        {
            "encoders": [
                {"source": "conv4", "size": 32, "seeds": list(range(encoders)), "taps": named}
            ],
            "images": [{"source": "digits", "per_class": 20}],
            "augmentation": {
                "settings": _SINGLE[:settings],
                "strengths": [(i + 1) / strengths for i in range(strengths)],
                "images": images,
                "views": views,
            },
        }
    )


@contextmanager
def stages() -> Iterator[dict[str, float]]:
    """Seconds that each stage of :func:`run_study` takes."""
    seconds: dict[str, float] = {}
    names = {
        "prepare": "prepare",
        "write_layout": "layout",
        "_embed": "embed",
        "_measure": "measure",
        "_failed_cells": "failures",
        "write_tables": "tables",
    }
    kept = {name: getattr(run, name) for name in names}

    def timed(label: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*arguments, **options)
            finally:
                seconds[label] = seconds.get(label, 0.0) + time.perf_counter() - start

        return wrapped

    try:
        for name, label in names.items():
            setattr(run, name, timed(label, kept[name]))
        yield seconds
    finally:
        for name, call in kept.items():
            setattr(run, name, call)


def growth() -> None:
    """Embedding and measuring, one factor at a time; the second of two runs counts."""
    rows: list[dict[str, object]] = []
    for factor in ("strengths", "encoders", "taps"):
        for count in (1, 2, 4):
            study = study_of(**{factor: count})
            for _ in range(2):  # The first one compiles.
                with tempfile.TemporaryDirectory() as out, stages() as seconds:
                    cells = run_study(study, out).cells
            rows.append(
                {
                    "factor": factor,
                    "count": count,
                    "cells": cells,
                    "embed, s": seconds["embed"],
                    "measure, s": seconds["measure"],
                    "tables, s": seconds["tables"],
                }
            )
    report("sweep_growth", rows)


def sized(cells: int) -> Study:
    """About so many cells: ten encoders, a setting at five strengths for every 50."""
    return study_of(encoders=10, settings=max(1, cells // 50), strengths=5, images=6, views=8)


def driver(out: str | None = None, *, cells: int = 300) -> None:
    """Run a study, then run it again: every stage finds its results and checks them."""
    with tempfile.TemporaryDirectory() as folder:
        out = out or folder
        study = sized(cells)
        for name in ("first run", "again"):
            with stages() as seconds:
                start = time.perf_counter()
                done = run_study(study, out).cells
                whole = time.perf_counter() - start
            row: dict[str, object] = {"run": name, "cells": done, "all, ms a cell": 0.0}
            for stage, value in {"all": whole, **seconds}.items():
                row[f"{stage}, ms a cell"] = 1e3 * value / done
            rows = [row] if name == "first run" else [*rows, row]  # noqa: F821
    report("sweep_driver", rows)


def memory() -> None:
    """Peak memory of a run that finds its results, in a process of its own each."""
    rows: list[dict[str, object]] = []
    for cells in (100, 250, 500):
        with tempfile.TemporaryDirectory() as out:
            for _ in range(2):
                done = subprocess.run(
                    [sys.executable, "-m", "benchmarks.sweep", "once", str(cells), out],
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                    env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
                )
            files = next(iter(read_layouts(Path(out)).values()))
            points = (Path(out) / "points.parquet").stat().st_size
        rows.append(
            {
                "cells": len(files.cells),
                "peak, MB": json.loads(done.stdout) / 1e3,
                "points.parquet, MB": points / 1e6,
            }
        )
    report("sweep_memory", rows)


def groups(count: str = "20000") -> None:
    """Metrics of many small groups, as the views of as many images are, and their summary."""
    views, width = 16, 64
    x = np.random.default_rng(0).normal(size=(int(count) * views, width)).astype(np.float32)
    labels = np.repeat(np.arange(int(count)), views)
    seconds = []
    for _ in range(2):  # The first one compiles.
        start = time.perf_counter()
        metrics = manifold_metrics(x, groups=labels)
        measured = time.perf_counter()
        metrics.summary()
        seconds = [measured - start, time.perf_counter() - measured]
    row = {"groups": int(count), "points a group": views, "d": width}
    report("many_groups", [row | {"metrics, s": seconds[0], "summary, s": seconds[1]}])


def once(cells: str, out: str) -> None:
    """One run; prints the peak memory of the process in kB."""
    run_study(sized(int(cells)), out)
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
