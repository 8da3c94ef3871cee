"""Double precision for the few steps that need it, whatever the user's JAX settings are."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

ScanPrecision = Literal["auto", "float32", "bfloat16"]
"""Precision in which all pairs are scanned; the result does not depend on it, its cost does."""

# Below this many features the selection, not the product, takes the time of a scan.
_NARROW = 128
_CPU_MARKS = ("avx512_bf16", "amx_bf16", " bf16 ")


def double_precision() -> AbstractContextManager[Any]:
    """Switch 64-bit types on for the calls in the body, and for nothing else.

    >>> with double_precision():
    ...     print(jnp.zeros(1, jnp.float64).dtype)
    float64
    """
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax import experimental  # where releases before 0.8 keep it

    return experimental.enable_x64(True)  # type: ignore[attr-defined]


def single_precision() -> AbstractContextManager[Any]:
    """Switch 64-bit types off for the calls in the body: Pallas counts in 32 bits.

    >>> with double_precision(), single_precision():
    ...     print(jnp.zeros(1).dtype)
    float32
    """
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(False)
    from jax import experimental  # as above

    return experimental.enable_x64(False)  # type: ignore[attr-defined]


def scan_dtype(precision: ScanPrecision, *, features: int) -> DTypeLike:
    """Element type of the scan: the fastest one of this machine where left to ``"auto"``.

    bfloat16 where the hardware multiplies it (accelerators, some CPUs) and the points are
    wide enough for the product to matter; float32 elsewhere.

    >>> jnp.dtype(scan_dtype("auto", features=2)).name
    'float32'
    """
    if precision == "auto":
        wide = features >= _NARROW
        precision = "bfloat16" if wide and _has_fast_bfloat16() else "float32"
    return jnp.bfloat16 if precision == "bfloat16" else jnp.float32


def _has_fast_bfloat16() -> bool:
    if jax.default_backend() != "cpu":
        return True
    if "xla_cpu_max_isa" in os.environ.get("XLA_FLAGS", ""):
        # Told to leave out instructions that the CPU has: as a rule these, which are the latest.
        return False
    try:
        facts = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = next(
        (line for line in facts.splitlines() if line[:8] in ("flags\t\t:", "Features")), ""
    )
    return any(mark in f"{flags} " for mark in _CPU_MARKS)
