"""A driver that is killed at random moments, over and over, until it gets through.

    python -m tests.sweep.run.kills OUT --kills 20 --seed 0

The process imports the libraries once and forks before it has used any of them; each child runs
the study and is killed with SIGKILL after a random share of the time that the first one, which is
left alone in a folder of its own, took. Prints how each ended, and ``same`` wherever one got
through and its tables are those of the undisturbed child.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import time
from pathlib import Path

from mgm_jax.sweep import run_study
from tests.embeddings.faults import ended, in_child, is_running
from tests.sweep.small_study import small_study
from tests.sweep.tables import table_bytes

STUDY = small_study(
    encoders=[{"source": "pixels", "size": 8}, {"source": "conv4", "size": 32}],
    augmentation={"settings": ["colorjitter"], "strengths": [0.5, 1.0], "images": 6, "views": 8},
)


def run(out: Path) -> None:
    """The work of a child."""
    if run_study(STUDY, out).failures:
        os._exit(1)


def main() -> None:
    """Kill, then let one finish and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    start = time.monotonic()
    print(ended(in_child(lambda: run(options.out / "whole"))), flush=True)
    took = time.monotonic() - start
    folder = 0
    whole = table_bytes(options.out / "whole")
    for kill in range(options.kills + 1):
        out = options.out / f"{folder:03d}"
        process = in_child(lambda: run(out))  # noqa: B023
        moment = time.monotonic() + rng.uniform(0.0, took)
        # The last one is left alone.
        while is_running(process) and (kill == options.kills or time.monotonic() < moment):
            time.sleep(0.005)
        os.kill(process, signal.SIGKILL)
        chunks = len(list(out.glob("embeddings/*/*/commits/*.json")))
        records = len(list(out.glob("records/*.parquet")))
        end = ended(process)
        print(end, folder, chunks, records, flush=True)
        if end != "killed":
            # It got through before its moment: look at its tables, and begin anew.
            print("same" if table_bytes(out) == whole else "different")
            folder += 1


if __name__ == "__main__":
    main()
