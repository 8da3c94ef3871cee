"""Every kernel through the compilers of a TPU v5e, an H200 and 256 v5e, at small shapes.

``make compile-only`` has an environment with these compilers; elsewhere all of this is skipped.
Compilers take up to minutes for one program. What was read of a program is kept under its text, so
that only what has changed is compiled again; and once :data:`BUDGET` is spent, what is not yet kept
is skipped, which the next run makes up for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.compile_only.cache import is_kept
from benchmarks.compile_only.compilers import Target, as_if_on, missing
from benchmarks.compile_only.devices import DEVICES
from benchmarks.compile_only.kernels import KERNELS, Kernel, Program, lower, trace
from benchmarks.compile_only.loops import turns
from benchmarks.compile_only.table import rows_of

#: Seconds in which programs are begun to be compiled, from the first test of a process on.
BUDGET = float(os.environ.get("MGM_COMPILE_ONLY_SECONDS", "inf"))

#: Points of a kernel: more than any loop has turns that is not over single points.
POINTS = {
    "ResNet-50": 8,
    "ViT-B/16": 8,
    "views -> ResNet-50 -> features": 32,
    # Its bisections of 512 features have 8192 turns.
    "snapshot": 16384,
    # On 256 chips, a bucket each at least.
    "k-NN over a ring": 2**18,
}
_OTHERS = 2048

#: Most temporary memory of a program at these shapes, MiB.
TEMPORARY = 1024

# Written for the other kind of device: a TPU takes pairs of float32, an H200 float64.
_NOT_FOR = {
    "v5e": ("NNK", "NNK graph of a cloud"),
    "H200": ("NNK in pairs", "NNK graph of a cloud in pairs"),
}

_started: list[float] = []


#: Kernels that take tens of seconds to trace; what is asked of their trace is asked nightly.
_LONG_TO_TRACE = frozenset(("ResNet-50", "ViT-B/16", "views -> ResNet-50 -> features"))

#: What the TPU's compiler takes a minute or more for.
_LONG_TO_COMPILE = frozenset(
    ("snapshot", "metrics, large group", "metrics, images of 64 views", "k-NN over a ring")
)

#: What the compilers are shown by another kernel, too: the widths on both sides of it, the views
#: before a network, a transformer on the other kind of device.
_COMPILED_IN_ANOTHER = {
    "v5e": ("product, d = 768", "k-NN, d = 768", "ResNet-50"),
    "H200": ("product, d = 768", "k-NN, d = 768", "ResNet-50", "ViT-B/16"),
}


def _marks(kernel: Kernel, device: str, *, traced: bool) -> list[pytest.MarkDecorator]:
    if traced:
        nightly = kernel.name in _LONG_TO_TRACE
    else:
        long = device.startswith("v5e") and kernel.name in _LONG_TO_COMPILE
        nightly = long or kernel.name in _COMPILED_IN_ANOTHER.get(device, ())
    return [pytest.mark.nightly] if nightly else []


def _cases(devices: tuple[str, ...], *, traced: bool = True) -> list[Any]:
    return [
        pytest.param(
            kernel,
            device,
            id=f"{kernel.name}-{device}",
            marks=_marks(kernel, device, traced=traced),
        )
        for device in devices
        for kernel in KERNELS
        if kernel.spread == (DEVICES[device].chips > 1)
        and kernel.name not in _NOT_FOR.get(device, ())
    ]


@pytest.fixture
def target(device: str) -> Iterator[Target]:
    """The device, and all that asks being told that it is here."""
    if reason := missing(DEVICES[device]):
        pytest.skip(reason)
    with as_if_on(DEVICES[device]):
        yield Target(DEVICES[device])


def _programs(kernel: Kernel, target: Target) -> list[Program]:
    return kernel.make(target, _points(kernel))


def _points(kernel: Kernel) -> int:
    return POINTS.get(kernel.name, _OTHERS)


@pytest.mark.parametrize(("kernel", "device"), _cases(("v5e", "v5e 16x16")))
def test_no_float64_on_a_tpu(kernel: Kernel, device: str, target: Target) -> None:
    for program in _programs(kernel, target):
        text = lower(kernel, program).as_text()
        assert "f64>" not in text and "f64," not in text, program.name


@pytest.mark.parametrize(("kernel", "device"), _cases(("v5e", "H200")))
def test_no_loop_over_single_points(kernel: Kernel, device: str, target: Target) -> None:
    for program in _programs(kernel, target):
        longest = max(turns(trace(kernel, program).jaxpr.jaxpr), default=0)
        # The parts of an image's crop are drawn by loops of some tens of turns.
        assert longest < max(_points(kernel), 128), program.name


@pytest.mark.parametrize(("kernel", "device"), _cases(("v5e", "H200", "v5e 16x16"), traced=False))
def test_compiles_within_bounds(kernel: Kernel, device: str, target: Target) -> None:
    _skip_without_time(kernel, target)
    *programs, _ = rows_of(kernel, target, _points(kernel))
    for program in programs:
        assert program["compiles"] == "yes", program["program"]
        assert not program["host transfers"], program["program"]
        assert program["temporary MiB"] <= TEMPORARY, program["program"]


def _skip_without_time(kernel: Kernel, target: Target) -> None:
    _started.append(time.monotonic())
    if time.monotonic() - _started[0] < BUDGET:
        return
    if not all(is_kept(lower(kernel, one), target.device) for one in _programs(kernel, target)):
        pytest.skip(f"its programs are not kept, and {BUDGET:.0f} s of compiling are spent")
