"""``python -m benchmarks.compile_only``: compile kernels, print and write what compilers say."""

from __future__ import annotations

import argparse
import datetime
import json
import time
from typing import Any

from benchmarks.compile_only import compilers
from benchmarks.compile_only.compilers import DEVICES, Device, Target, as_if_on
from benchmarks.compile_only.kernels import KERNELS, Kernel
from benchmarks.compile_only.loops import growing
from benchmarks.compile_only.table import as_text, rows_of
from benchmarks.measuring.timing import RESULTS


def main() -> None:
    """Compile what was asked for and merge it into ``results/compile_only.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", nargs="*", default=list(DEVICES), choices=list(DEVICES))
    parser.add_argument("--kernels", nargs="*", help="parts of names; all where left out")
    parser.add_argument("--divide", type=int, default=1, help="divide the points by this")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in options.devices:
        device = DEVICES[name]
        if reason := compilers.missing(device):
            print(f"{name} left out: {reason}")
            continue
        for kernel in KERNELS:
            wanted = options.kernels is None or any(part in kernel.name for part in options.kernels)
            if wanted and kernel.spread == (device.chips > 1):
                start = time.perf_counter()
                rows += _rows(kernel, device, options.divide)
                print(f"{name}: {kernel.name} ({time.perf_counter() - start:.0f} s)", flush=True)
    print(as_text(rows))
    if not options.dry:
        _write(rows)


def _rows(kernel: Kernel, device: Device, divide: int) -> list[dict[str, Any]]:
    with as_if_on(device):
        target = Target(device)
        rows = rows_of(kernel, target, kernel.points // divide)
        rows[-1]["growing loops"] = growing(kernel, target, kernel.points // divide)
    return rows


def _write(rows: list[dict[str, Any]]) -> None:
    """Replace what an earlier run said of the same kernels on the same devices."""
    path = RESULTS / "compile_only.json"
    kept = json.loads(path.read_text())["rows"] if path.exists() else []
    fresh = {(row["device"], row["kernel"]) for row in rows}
    kept = [row for row in kept if (row["device"], row["kernel"]) not in fresh]
    date = datetime.date.today().isoformat()
    for row in rows:
        row["date"] = date
    rows = sorted(kept + rows, key=lambda row: (row["device"], row["kernel"]))
    note = "Counts of compilers, not measurements; see docs/accelerators.md."
    path.write_text(json.dumps({"note": note, "rows": rows}, indent=1) + "\n")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
