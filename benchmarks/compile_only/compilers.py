"""Devices that are not here, and their compilers: the one file that uses private parts of JAX.

The compilers of TPUs come with ``libtpu``, those of NVIDIA GPUs with the plugin of JAX and
``nvidia-cuda-nvcc``; neither needs a driver. On a host that has ``libtpu``, start with
``JAX_PLATFORMS=cpu``, lest JAX look for a TPU.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import re
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from benchmarks.compile_only.devices import DEVICES, Device

__all__ = ["DEVICES", "Device", "Target", "as_if_on", "devices_of", "missing"]

_BUNDLE = re.compile(r"^\s*(?:0x)?[0-9a-f]+\s+([A-Z]{2})?\s*: (>*)")
_EXIT = re.compile(r"totalorder (?:\(\S+\), )?%\S+, (\d+) /\* loop exit test")
_TARGETS = Path(__file__).parent / "targets"
# Where libtpu leaves the final program of each kernel, the only target that counts Pallas kernels.
_DUMP = tempfile.TemporaryDirectory(prefix="mgm-compile-only-")


def missing(device: Device) -> str | None:
    """What is not installed to compile for a device; None where all is."""
    if device.platform == "tpu":
        needed = ["libtpu"]
    else:
        needed = ["jax_cuda12_plugin", "jax_plugins.xla_cuda12", "nvidia.cuda_nvcc"]
    for name in needed:
        try:
            spec = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            spec = None
        if spec is None:
            return f"{name} is not installed; pip install 'mgm_jax[compile-only]'"
    return None


@cache
def devices_of(device: Device) -> tuple[Any, ...]:
    """JAX's descriptions of the devices."""
    from jax.experimental import topologies

    options: dict[str, Any] = {}
    _describe_host()
    if device.config is None:
        described = topologies.get_topology_desc(topology_name=device.topology, platform="tpu")
    else:
        _register_plugins()
        options = {
            "topology": device.topology,
            "target_config": (_TARGETS / device.config).read_text(),
        }
        described = topologies.get_topology_desc(
            platform="cuda", topology_name=device.name, **options
        )
    return tuple(described.devices)


@cache
def _describe_host() -> None:
    """Tell libtpu, before it is loaded, of a host that it need not ask about."""
    # Several processes may compile at once: none of them holds a device.
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    # The last pass alone: all of them are gigabytes, which take longer to write than to compile.
    os.environ.setdefault(
        "LIBTPU_INIT_ARGS",
        f"--xla_jf_dump_to={_DUMP.name} --xla_jf_dump_llo_text=true "
        "--xla_jf_dump_llo_pass_label_regex=.*final_bundles.*",
    )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@cache
def _register_plugins() -> None:
    from jax._src import xla_bridge

    xla_bridge._discover_and_register_pjrt_plugins()


class Target:
    """Where the arrays of a program lie: makes the arguments that a program is compiled for.

    Attributes:
        device: what is compiled for.
        mesh: of all its chips along one axis, None for one chip.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        chips = devices_of(device)
        self.mesh = None
        self._whole: Any = SingleDeviceSharding(chips[0])
        self._spread = self._whole
        if device.chips > 1:
            self.mesh = Mesh(np.array(chips[: device.chips]), ("x",))
            self._whole = NamedSharding(self.mesh, PartitionSpec())
            self._spread = NamedSharding(self.mesh, PartitionSpec("x"))

    def array(self, *shape: int, dtype: Any = np.float32) -> jax.ShapeDtypeStruct:
        """An array that every chip holds."""
        return jax.ShapeDtypeStruct(shape, dtype, sharding=self._whole)

    def rows(self, *shape: int, dtype: Any = np.float32) -> jax.ShapeDtypeStruct:
        """An array that is cut by rows over the chips."""
        return jax.ShapeDtypeStruct(shape, dtype, sharding=self._spread)

    def like(self, tree: Any) -> Any:
        """Every array (or description of one) in a tree, as one that every chip holds."""
        return jax.tree.map(lambda leaf: self.array(*leaf.shape, dtype=leaf.dtype), tree)


@contextlib.contextmanager
def as_if_on(device: Device) -> Iterator[None]:
    """Within it, code that asks which backend it runs on is told that it is the device's.

    What was traced for another backend is forgotten before and after.
    """
    backend = mock.patch.object(jax, "default_backend", lambda: device.platform)
    described = devices_of(device)
    local = mock.patch.object(jax, "devices", lambda *_: list(described))
    jax.clear_caches()
    try:
        with backend, local:
            yield
    finally:
        jax.clear_caches()


def kernel_cycles() -> dict[str, int]:
    """Bundles of the instructions that libtpu compiled last, by name, loops counted.

    A bundle is a cycle where nothing stalls: neither a transfer nor a matrix unit makes it wait.
    """
    cycles = {}
    for path in sorted(Path(_DUMP.name).glob("*-final_bundles.txt")):
        # The number of the program, the name of the instruction, the number of the pass.
        name = path.name.removesuffix("-final_bundles.txt").split("-", 1)[1].rsplit("-", 1)[0]
        # The frame of the program has no name of an instruction.
        if not name.startswith(("<", "TLP")) and "schedule-analysis" not in path.name:
            cycles[name] = bundles(path.read_text(errors="replace"))
    return cycles


def bundles(text: str) -> int:
    """Bundles of a final program of libtpu, those in a loop as often as it turns.

    >>> bundles('''
    ...   0   :  { a }
    ...   0x1 LB: > { b }
    ...   0x2   : > { %p = scmp.ge.s32.totalorder %s22, 5 /* loop exit test */ }
    ...   0x3   :  { c }''')
    12
    """
    # The schedule may mix bundles of a loop into those of the loop within it, so each bundle is
    # put down to the loops that its depth says, the last that began at each depth.
    turns: list[int] = []
    current: list[int] = []
    listed: list[tuple[int, ...]] = []
    for line in text.splitlines():
        bundle = _BUNDLE.match(line)
        if not bundle:
            continue
        code, depth = bundle[1], len(bundle[2])
        if code == "LB":
            current = [*current[: depth - 1], len(turns)]
            turns.append(1)
        listed.append(tuple(current[:depth]))
        if test := _EXIT.search(line):
            # The test of a loop comes after that of the loop within it, perhaps among its bundles.
            untested = [loop for loop in listed[-1] if turns[loop] == 1]
            if untested:
                turns[untested[-1]] = int(test[1])
    return sum(math.prod(turns[loop] for loop in loops) for loops in listed)


def forget_dumps() -> None:
    """Remove what libtpu has written so far."""
    for path in Path(_DUMP.name).iterdir():
        with contextlib.suppress(OSError):
            path.unlink()


def compiler_version(device: Device) -> str:
    """Compiler of a device, part of the key its results are kept under."""
    import importlib.metadata as metadata

    package = "libtpu" if device.platform == "tpu" else "jax-cuda12-pjrt"
    # Without its dumps nothing is known of the cycles of Pallas kernels.
    dumps = device.platform != "tpu" or _DUMP.name in os.environ["LIBTPU_INIT_ARGS"]
    version = f"{package} {metadata.version(package)}, jax {jax.__version__}"
    return version if dumps else f"{version}, no dumps"
