"""Published peak rates of some accelerators, and what the cost model makes of them.

Nothing here was measured by us: the rates are the makers' figures, without sparsity. A prediction
adds up what does not overlap and leaves out what the model does not count (selection, latency,
rows redone), so it is a lower bound of the time.
"""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.measuring.ring_cost import RingCost, ring_cost

# Share of the peak that products reach; on an H200 790 of 989 TFLOP/s were once measured.
PRODUCT_SHARE = 0.8
# A difference, its square, the sum, and the two scalings.
_EXACT_FLOPS = 5


class Hardware(NamedTuple):
    """One device.

    Attributes:
        bfloat16: product rate, FLOP/s.
        float64: rate outside matrix units, FLOP/s; None where float64 is emulated.
        memory: bytes.
        memory_rate: bytes/s.
        near: bytes/s to the next device of one ring, within a node or pod.
        near_devices: how many devices such links join.
        far: bytes/s a device beyond that.
    """

    bfloat16: float
    float64: float | None
    memory: float
    memory_rate: float
    near: float
    near_devices: int
    far: float


# NVIDIA: data sheets of H100 SXM and H200 SXM; NVLink 900 GB/s both ways; 400 Gbit/s of network a
# device. Google: Cloud TPU documentation; a ring uses one link of the torus, 400 and 800 Gbit/s a
# direction; slices of 256 and 8960 chips, 100 Gbit/s a chip assumed between them.
HARDWARE = {
    "H100": Hardware(989e12, 34e12, 80e9, 3.35e12, 450e9, 8, 50e9),
    "H200": Hardware(989e12, 34e12, 141e9, 4.8e12, 450e9, 8, 50e9),
    "TPU v5e": Hardware(197e12, None, 16e9, 0.819e12, 50e9, 256, 12.5e9),
    "TPU v5p": Hardware(459e12, None, 95e9, 2.765e12, 100e9, 8960, 12.5e9),
}


class Prediction(NamedTuple):
    """Seconds of the parts, and memory.

    Attributes:
        product: of the scan's products.
        scores: in which the scan's scores go through memory.
        scan_sent: in which the scan's blocks travel, beside the two above.
        rank: of the ranking: its blocks travel, its pairs are gathered and computed.
        total: the longer of computing and sending in the scan, and the ranking.
        memory: bytes a device needs.
        fits: whether it has them.
    """

    product: float
    scores: float
    scan_sent: float
    rank: float
    total: float
    memory: float
    fits: bool


def predict(
    name: str, *, n: int, d: int, k: int, devices: int, score_bytes: float
) -> tuple[RingCost, Prediction]:
    """Predict a graph of n float32 points, scanned in bfloat16.

    Args:
        name: which hardware.
        n: points.
        d: features.
        k: neighbours.
        devices: how many.
        score_bytes: that a score moves through memory.
    """
    one = HARDWARE[name]
    cost = ring_cost(n=n, d=d, k=k, devices=devices)
    rate = one.near if devices <= one.near_devices else one.far
    product = cost.product_flops / (PRODUCT_SHARE * one.bfloat16)
    scores = cost.scores * score_bytes / one.memory_rate
    scan_sent = cost.scan_sent / rate
    gathered = cost.exact_pairs * 2 * 4 * d / one.memory_rate
    exact = cost.exact_pairs * _EXACT_FLOPS * d / one.float64 if one.float64 else 0.0
    rank = max(cost.rank_sent / rate, gathered + exact)
    total = max(product + scores, scan_sent) + rank
    fits = cost.memory <= one.memory
    return cost, Prediction(product, scores, scan_sent, rank, total, cost.memory, fits)
