"""What ``test_transfer`` asks of simulated devices: a study whose probes use them all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import jax
import numpy as np
import pandas as pd

from mgm_jax.parallel.devices import default_mesh
from mgm_jax.sweep import run_study
from mgm_jax.sweep.run import tasks
from tests.sweep.small_study import small_study


def main() -> None:
    """The transfer table of one device, and of all of them."""
    study = small_study(
        augmentation=None,
        encoders=[{"source": "pixels", "size": 16}],
        transfer={
            "targets": [{"source": "digits", "per_class": 21, "name": "more"}],
            "probes": ["linear"],
            "scores": [],
            "strengths": 3,
        },
    )
    tables = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("one", "all"):
            out = Path(folder) / name
            assert not run_study(study, out).failures
            tables.append(pd.read_parquet(out / "transfer.parquet"))
            # As if the simulated devices were accelerators, which measure one cell at a time.
            tasks.own_accelerators = default_mesh
            os.cpu_count = lambda: 1
    one, every = tables
    assert len(one) == 2 and jax.device_count() == 3
    np.testing.assert_array_equal(every["value"], one["value"])
    np.testing.assert_array_equal(every["strength"], one["strength"])
    print("done")


if __name__ == "__main__":
    main()
