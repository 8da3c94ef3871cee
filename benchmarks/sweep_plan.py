"""What a sweep of 14 encoders x 18 transforms x 5 strengths x 50 000 images would take.

``python -m benchmarks.sweep_plan`` prints hours and bytes on one H200 and on 64. Measured here are
the rate of the metrics, the time of the driver and the rate of decoding, on two CPU cores;
what a GPU embeds a second is a goal, and so marked, and rates of storage are assumed.
"""

from __future__ import annotations

import argparse
import json
from typing import NamedTuple

from benchmarks.measuring.timing import RESULTS

ENCODERS, TRANSFORMS, STRENGTHS, IMAGES, WIDTH = 14, 18, 5, 50_000, 2048
CORES = 16
"""CPU cores beside each GPU."""

# A goal for ResNet-50 in bfloat16 on an H200, not a measurement.
EMBED_A_SECOND = 12_000
# Images of 300 x 200 pixels decoded and resized on two cores; one run, other work beside it.
DECODE_A_SECOND = 348
# Bytes a second of storage: a local disk of one machine, a file system shared by 64.
ONE_DISK, SHARED_DISK = 2e9, 10e9


class Plan(NamedTuple):
    """Seconds of each stage on some GPUs, and bytes.

    Attributes:
        gpus: how many.
        views: of an image in a cell.
        embed: all encoders over all views.
        store: embeddings written once and read once.
        measure: metrics of all points on the CPUs.
        driver: what one process does for each cell, however many GPUs there are.
        decode: images decoded, once.
        stored: bytes of embeddings, float32.
        cached: bytes of decoded images.
    """

    gpus: int
    views: int
    embed: float
    store: float
    measure: float
    driver: float
    decode: float
    stored: float
    cached: float

    @property
    def total(self) -> float:
        """Seconds, the stages one after the other."""
        return self.embed + self.store + self.measure + self.driver + self.decode


def plan(*, gpus: int, views: int) -> Plan:
    """Seconds and bytes of the sweep."""
    cells = ENCODERS * TRANSFORMS * STRENGTHS
    rows = cells * IMAGES * views
    stored = 4.0 * rows * WIDTH
    disk = ONE_DISK if gpus == 1 else SHARED_DISK
    return Plan(
        gpus=gpus,
        views=views,
        embed=rows / EMBED_A_SECOND / gpus,
        store=2 * stored / disk,
        measure=rows / (_points_a_second() * CORES / 2) / gpus,
        driver=cells * _driver_seconds(),
        decode=IMAGES / (DECODE_A_SECOND * CORES / 2) / gpus,
        stored=stored,
        cached=IMAGES * 256 * 256 * 3.0,
    )


def _points_a_second() -> float:
    rows = json.loads((RESULTS / "manifold.json").read_text())["rows"]
    return min(row["points/s"] for row in rows if row["who"] == "manifold_metrics")


def _driver_seconds() -> float:
    rows = json.loads((RESULTS / "sweep_driver.json").read_text())["rows"]
    return max(row["all, ms a cell"] for row in rows if row["run"] == "again") / 1000


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print("GPUs  views  embed h  store h  measure h  driver h  decode h  total h  stored TB")
    for views in (1, 16):
        for gpus in (1, 64):
            p = plan(gpus=gpus, views=views)
            stages = (p.embed, p.store, p.measure, p.driver, p.decode, p.total)
            hours = "".join(f"{seconds / 3600:10.3f}" for seconds in stages)
            print(f"{gpus:4d}  {views:5d}{hours}  {p.stored / 1e12:9.2f}")


if __name__ == "__main__":
    main()
