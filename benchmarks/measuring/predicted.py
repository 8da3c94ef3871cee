"""What a device should take for a task: by its compiler's count, or by the rate of its products.

Counts come from ``results/compile_only.json``. A compiler of TPUs counts cycles; for GPUs there are
none, so what is left is the product that the answer takes at the rate of the data sheet, which is
a lower bound. Neither was measured.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.compile_only.devices import DEVICES, Device
from benchmarks.compile_only.kernels import ALL, KERNELS
from benchmarks.measuring.timing import RESULTS

COUNTS = RESULTS / "compile_only.json"


class Predicted(NamedTuple):
    """Seconds, and what they follow from.

    Attributes:
        seconds: of the task on one device.
        by: ``"compiler"`` or ``"product"``.
    """

    seconds: float
    by: str


def predicted(
    kind: str, kernel: str, *, points: float, tables: tuple[Path, ...] = (COUNTS,)
) -> Predicted | None:
    """Predict a task on one device.

    Args:
        kind: what JAX calls the device.
        kernel: name in ``compile_only.kernels.KERNELS``.
        points: that the task is about; what the kernel does with each is the same.
        tables: files to look in for counts, in this order.

    Returns:
        None where nothing is known of such a device or of such a task.
    """
    known = {one.kind: one for one in DEVICES.values() if one.chips == 1}
    device = known.get(kind)
    if device is None:
        return None
    for row in _rows(tables):
        wanted = (row["device"], row["kernel"], row["program"]) == (device.name, kernel, ALL)
        if wanted and "seconds" in row:
            return Predicted(row["seconds"] * points / row["points"], "compiler")
    return _by_product(device, kernel, points)


def _by_product(device: Device, kernel: str, points: float) -> Predicted | None:
    (row,) = (one for one in KERNELS if one.name == kernel)
    if row.product is None:
        return None
    share = points / row.points
    return Predicted(row.product(row.points) * share / device.bfloat16, "product")


def _rows(tables: tuple[Path, ...]) -> list[dict[str, Any]]:
    return [row for file in tables if file.exists() for row in json.loads(file.read_text())["rows"]]
