"""The devices that are compiled for, and their rates from data sheets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device, or a mesh of them, to compile for.

    Attributes:
        name: what tables call it.
        platform: ``"tpu"`` or ``"gpu"``.
        kind: what JAX calls such a device.
        topology: as the compiler names the devices.
        chips: how many, along one axis.
        bfloat16: product rate of one, FLOP/s, without sparsity.
        memory_rate: bytes/s of one.
        clock: cycles/s in which the compiler counts; None where it does not.
        config: file of ``targets`` that describes it; None for a TPU.
    """

    name: str
    platform: str
    kind: str
    topology: str
    chips: int = 1
    bfloat16: float
    memory_rate: float
    clock: float | None = None
    config: str | None = None


# Rates: Cloud TPU documentation and NVIDIA's data sheets. The clocks of TPUs follow from the
# product rate and the size and number of their matrix units.
_V5E: dict[str, Any] = dict(
    platform="tpu", kind="TPU v5 lite", bfloat16=197e12, memory_rate=819e9, clock=1.5e9
)
_V5P: dict[str, Any] = dict(
    platform="tpu", kind="TPU v5", bfloat16=459e12, memory_rate=2765e9, clock=1.75e9
)
_V6E: dict[str, Any] = dict(
    platform="tpu", kind="TPU v6 lite", bfloat16=918e12, memory_rate=1640e9, clock=1.75e9
)
_H200: dict[str, Any] = dict(
    platform="gpu",
    kind="NVIDIA H200",
    bfloat16=989e12,
    memory_rate=4.8e12,
    config="h200.txtpb",
)
_A100: dict[str, Any] = dict(
    platform="gpu",
    kind="NVIDIA A100-SXM4-80GB",
    bfloat16=312e12,
    memory_rate=2.039e12,
    config="a100.txtpb",
)
DEVICES = {
    device.name: device
    for device in (
        Device(name="v5e", topology="v5e:2x2", **_V5E),
        Device(name="v5p", topology="v5:2x2x1", **_V5P),
        Device(name="v6e", topology="v6e:2x2", **_V6E),
        Device(name="H200", topology="1x1x1", **_H200),
        Device(name="A100", topology="1x1x1", **_A100),
        Device(name="v5e 16x16", topology="v5e:16x16", chips=256, **_V5E),
        Device(name="8 H200", topology="1x1x8", chips=8, **_H200),
    )
}
