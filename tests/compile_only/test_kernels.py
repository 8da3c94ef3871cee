"""Every kernel through the compilers of a TPU v5e and an H200, at small shapes.

``make compile-only`` has an environment with these compilers; elsewhere all of this is skipped.
Compilers take up to minutes for one program. What was read of a program is kept under its text, so
that only what has changed is compiled again; and once :data:`BUDGET` is spent, what is not yet kept
is skipped, which the next run makes up for.

What a kernel fails to keep stands in :data:`KNOWN` with the reason, and its test has to fail.
"""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from benchmarks.compile_only.cache import is_kept
from benchmarks.compile_only.compilers import Place, as_if_on, missing
from benchmarks.compile_only.devices import DEVICES
from benchmarks.compile_only.kernels import KERNELS, Kernel, lower
from benchmarks.compile_only.table import rows_of

#: Seconds in which programs are begun to be compiled, from the first test of a process on.
BUDGET = float(os.environ.get("MGM_COMPILE_ONLY_SECONDS", "inf"))

#: Points of a kernel: more than any loop has turns that is not over single points.
POINTS = {
    "ResNet-50": 8,
    "ViT-B/16": 8,
    "views -> ResNet-50 -> features": 32,
    "snapshot": 4096,
}
_OTHERS = 2048

#: Most temporary memory of a program at these shapes, MiB.
TEMPORARY = 512

#: By kernel, and device or ``"both"``: what does not hold yet, and why.
KNOWN: dict[tuple[str, str], str] = {}

# Written for the other kind of device: a TPU takes pairs of float32, an H200 float64.
_NOT_FOR = {
    "v5e": ("NNK", "NNK graph of a cloud"),
    "H200": ("NNK in pairs", "NNK graph of a cloud in pairs"),
}
_started: list[float] = []


def _cases() -> list[Any]:
    return [
        pytest.param(
            kernel,
            device,
            id=f"{kernel.name}-{device}",
            marks=[pytest.mark.xfail(strict=True, reason=why)] if why else [],
        )
        for kernel in KERNELS
        for device in _NOT_FOR
        if not kernel.spread and kernel.name not in _NOT_FOR[device]
        for why in (KNOWN.get((kernel.name, device)) or KNOWN.get((kernel.name, "both")),)
    ]


@pytest.mark.parametrize(("kernel", "device"), _cases())
def test_compiles_within_bounds(kernel: Kernel, device: str) -> None:
    target = DEVICES[device]
    if reason := missing(target):
        pytest.skip(reason)
    points = POINTS.get(kernel.name, _OTHERS)
    with as_if_on(target):
        place = Place(target)
        _skip_without_time(kernel, place, points)
        *programs, _ = rows_of(kernel, place, points)
    for program in programs:
        name = program["program"]
        assert program["compiles"] == "yes", name
        assert not program["host transfers"], name
        assert not program["loops over points"], name
        assert program["temporary MiB"] <= TEMPORARY, name
        assert target.platform != "tpu" or not program["float64"], name


def _skip_without_time(kernel: Kernel, place: Place, points: int) -> None:
    _started.append(time.monotonic())
    if time.monotonic() - _started[0] < BUDGET:
        return
    for program in kernel.make(place, points):
        if not is_kept(lower(kernel, program), place.device):
            pytest.skip(f"its programs are not kept, and {BUDGET:.0f} s of compiling are spent")
