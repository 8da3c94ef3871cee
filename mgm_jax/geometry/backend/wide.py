"""Where float64 is fast, and what stands in for it where it is not.

One step of the geometry asks for more digits than float32 has: whatever is a small difference of
large numbers. CPUs and the GPUs of data centres compute it in float64. TPUs emulate float64
at some sixty times the price, other GPUs have one unit of it in 64: they take pairs of float32
(:mod:`mgm_jax.geometry.backend.pairs`), and hand the few rows that pairs do not settle to the host.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import jax

from mgm_jax.geometry.backend.precision import double_precision

WideArithmetic = Literal["float64", "pairs"]
"""How numbers of more than 24 bits are computed; results do not depend on it, their cost does."""

# Compute capabilities of NVIDIA GPUs whose float64 runs at half the rate of float32: P100, V100,
# A100 and A30, H100 and H200, B100 and B200.
_FAST_CAPABILITIES = ("6.0", "7.0", "8.0", "9.0", "10.0")

_chosen: list[WideArithmetic] = []


def wide_arithmetic() -> WideArithmetic:
    """What the default device computes wide numbers in, or what :func:`arithmetic` has chosen.

    >>> with arithmetic("pairs"):
    ...     wide_arithmetic()
    'pairs'
    """
    if _chosen:
        return _chosen[-1]
    return arithmetic_of(jax.local_devices()[0])


def arithmetic_of(device: Any) -> WideArithmetic:
    """What a device computes wide numbers in, by its kind.

    >>> arithmetic_of(jax.devices("cpu")[0])
    'float64'
    """
    if device.platform == "cpu":
        return "float64"
    if device.platform == "tpu":
        return "pairs"
    capability = getattr(device, "compute_capability", None)
    # AMD's accelerators for data centres have no such number, and fast float64.
    fast = capability in _FAST_CAPABILITIES or str(device.device_kind).startswith("AMD Instinct")
    return "float64" if fast else "pairs"


@contextmanager
def arithmetic(choice: WideArithmetic) -> Iterator[None]:
    """Choose for the calls in the body, of all threads: for tests, and for measurements."""
    _chosen.append(choice)
    try:
        yield
    finally:
        _chosen.pop()


@contextmanager
def on_host() -> Iterator[None]:
    """Run the calls in the body in float64 on the host, where it has a device of its own."""
    with ExitStack() as stack:
        stack.enter_context(double_precision())
        try:
            host = jax.local_devices(backend="cpu")[0]
        except RuntimeError:
            # JAX_PLATFORMS leaves the CPU out: the accelerator emulates float64.
            pass
        else:
            stack.enter_context(jax.default_device(host))
        yield
