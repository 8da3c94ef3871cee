"""A run in a bucket that dies while it measures.

``python -m tests.sweep.bucket.bucket_kill URL WORK``

It is killed with SIGKILL in its third cell, as soon as the bucket has the first two.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import fsspec

from mgm_jax.sweep import mirrored, run_study
from mgm_jax.sweep.run import tasks
from tests.sweep.small_study import small_study

STUDY = small_study(
    encoders=[{"source": "pixels", "size": 8}, {"source": "conv4", "size": 32}],
    augmentation={"settings": ["crop"], "images": 6, "views": 8},
)


def main(url: str, work: str) -> None:
    """Run, and never return."""
    measure, left, one = tasks.measure_points, [2], threading.Lock()
    storage, root = fsspec.core.url_to_fs(url)

    def dying(*arguments: object, **options: object) -> object:
        with one:
            left[0] -= 1
            alive = left[0] >= 0
        if alive:
            return measure(*arguments, **options)  # pyright: ignore[reportArgumentType]
        while storage.cat_file(f"{root}/contents.json").count(b'"records/') < 4:
            # Two references, and the records of the two cells.
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    tasks.measure_points = dying  # pyright: ignore[reportAttributeAccessIssue]
    with mirrored(url, Path(work), every=0.1, say=print) as folder:
        run_study(STUDY, folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
