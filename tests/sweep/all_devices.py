"""What ``test_canvases`` asks of a process with several simulated devices."""

from __future__ import annotations

import sys
from pathlib import Path

import jax

from mgm_jax.encoders import Encoder
from mgm_jax.study import read_study
from mgm_jax.sweep import run_study
from mgm_jax.sweep.run import tasks
from tests.sweep.test_canvases import chunks


def main(folder: Path) -> None:
    """Run a study on all devices and on one: the same bits, and none stood idle."""
    study = read_study(folder / "study.yaml")
    used = set()
    whole = Encoder.features

    def features(self, views, *, taps):
        used.update(views.devices())
        return whole(self, views, taps=taps)

    Encoder.features = features
    # Batches small enough that every device gets some.
    embed = tasks.embed
    tasks.embed = lambda *args, **options: embed(*args, batch_views=8, **options)
    assert not run_study(study, folder / "many", until="embed").failures
    assert len(jax.local_devices()) > 1 and used == set(jax.local_devices())
    tasks._all_here = lambda: None
    assert not run_study(study, folder / "one", until="embed").failures
    assert chunks(folder / "one") and chunks(folder / "many") == chunks(folder / "one")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    print("done")
