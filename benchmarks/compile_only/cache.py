"""Compiles programs and remembers what was read of them.

Compiling takes seconds to minutes. What was read is kept under the text of the program as the
compiler gets it, the device, the compiler's version and this package's way of reading.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from benchmarks.compile_only import compilers
from benchmarks.compile_only.compilers import Device
from benchmarks.compile_only.counts import Counts, count

# Change it where the same program would now be read in another way; the second is that of programs
# with Pallas kernels.
_READING, _READING_OF_KERNELS = 2, 4


def compile_and_count(lowered: Any, device: Device) -> Counts:
    """Compile a lowered program for a device, or recall what was read of it.

    Args:
        lowered: what ``jax.jit(f).lower(...)`` or ``trace(...).lower()`` returns, for arguments
            of :class:`~benchmarks.compile_only.compilers.Target`.
        device: which device it was lowered for.
    """
    text, path = lowered.as_text(), _file(lowered, device)
    if path.exists():
        return Counts.of_json(json.loads(path.read_text()))
    compilers.forget_dumps()
    compiled = lowered.compile()
    counts = count(compiled.as_text())
    if device.platform == "tpu":
        counts.add_bundles(compilers.kernel_cycles())
    memory = compiled.memory_analysis()
    counts.temporary = int(memory.temp_size_in_bytes)
    counts.arguments = int(memory.argument_size_in_bytes)
    counts.results = int(memory.output_size_in_bytes)
    counts.float64 = "f64>" in text or "f64," in text
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_text(json.dumps(counts.as_json()))
    scratch.replace(path)
    return counts


def is_kept(lowered: Any, device: Device) -> bool:
    """Whether :func:`compile_and_count` would compile nothing."""
    return _file(lowered, device).exists()


def _file(lowered: Any, device: Device) -> Path:
    text, version = lowered.as_text(), compilers.compiler_version(device)
    reading = _READING_OF_KERNELS if "tpu_custom_call" in text else _READING
    key = f"{reading} {device.name} {version} {text}"
    return folder() / f"{hashlib.sha256(key.encode()).hexdigest()}.json"


def folder() -> Path:
    """Where results are kept: ``MGM_COMPILE_ONLY_CACHE``, or within the user's cache."""
    chosen = os.environ.get("MGM_COMPILE_ONLY_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(chosen) if chosen else Path(home) / "mgm_jax" / "compile_only"
