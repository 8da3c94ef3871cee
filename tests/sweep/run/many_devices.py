"""What ``test_many_devices`` asks of three simulated devices."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest.mock import patch

import jax
import numpy as np
import pandas as pd

from mgm_jax.encoders import Encoder
from mgm_jax.parallel.devices import default_mesh
from mgm_jax.sweep import run_study
from mgm_jax.sweep.run import tasks
from tests.launch import make_checks
from tests.sweep.run.test_canvases import chunks, study_of, write_photos
from tests.sweep.small_study import small_study


def batches_take_turns() -> None:
    """A study on all devices and on one: the same bits, and none stood idle."""
    used = set()
    whole, embed = Encoder.features, tasks.embed

    def features(self, views, *, taps):
        used.update(views.devices())
        return whole(self, views, taps=taps)

    def embed_in_small_batches(*args, **options):
        return embed(*args, batch_views=8, **options)

    with (
        tempfile.TemporaryDirectory() as name,
        patch.object(Encoder, "features", features),
        # So small that every device gets some.
        patch.object(tasks, "embed", embed_in_small_batches),
    ):
        folder = Path(name)
        study = study_of(
            write_photos(folder / "photos"),
            encoders=[{"source": "conv4", "size": 32}],
            augmentation={"settings": ["crop"], "images": 6, "views": 5},
        )
        assert not run_study(study, folder / "many", until="embed").failures
        assert len(jax.local_devices()) > 1 and used == set(jax.local_devices())
        with patch.object(tasks, "_all_here", lambda: None):
            assert not run_study(study, folder / "one", until="embed").failures
        assert chunks(folder / "one") and chunks(folder / "many") == chunks(folder / "one")


def probes_share_their_rows() -> None:
    """The transfer table of one device, and of all of them."""
    study = small_study(
        augmentation=None,
        encoders=[{"source": "pixels", "size": 8}],
        transfer={
            "targets": [{"source": "digits", "per_class": 21, "name": "more"}],
            "probes": ["linear"],
            "scores": [],
            "l2_penalties": 3,
        },
    )

    def table(out: Path) -> pd.DataFrame:
        assert not run_study(study, out).failures
        return pd.read_parquet(out / "transfer.parquet")

    with tempfile.TemporaryDirectory() as folder:
        one = table(Path(folder) / "one")
        # As if the simulated devices were accelerators, which measure one cell at a time.
        with patch.object(tasks, "own_accelerators", default_mesh):
            every = table(Path(folder) / "all")
    assert len(one) == 2 and jax.device_count() == 3
    np.testing.assert_array_equal(every["value"], one["value"])
    np.testing.assert_array_equal(every["strength"], one["strength"])


if __name__ == "__main__":
    make_checks(batches_take_turns, probes_share_their_rows)
