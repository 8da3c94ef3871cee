"""Disks that fill, become read-only or go away under a run: real ones, in memory.

The programs run in a mount namespace of their own, where each may mount what it likes and nothing
of it is seen, or left, outside.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mgm_jax.sweep import run_study
from tests.launch import ROOT
from tests.sweep.small_study import small_study
from tests.sweep.tables import table_bytes

pytestmark = pytest.mark.nightly

#: The commands, and what happens to the disk: before them, or at the first record.
PROGRAM = """
import subprocess, sys
from pathlib import Path
from mgm_jax.cli import app, main
from mgm_jax.sweep.run import tasks

kind, out = sys.argv[1:]
records = tasks._records

def losing(cell, work):
    done = records(cell, work)
    if kind == "gone" and not lost:
        lost.append(True)
        subprocess.run(["umount", "-l", out], check=True)
    return done

lost = []
tasks._records = losing
if kind == "read-only":
    sys.argv = ["mgm", "embed", "study.yaml", "-o", out]
    app(standalone_mode=False)
    subprocess.run(["mount", "-o", "remount,ro", out], check=True)
for words in (["run", "study.yaml", "-o", out], ["report", out], ["gc", out, "--yes"]):
    sys.argv = ["mgm", *words]
    try:
        main()
    except SystemExit as end:
        print("status", words[0], end.code, flush=True)
if kind != "gone":
    subprocess.run(["cp", "-a", out, "left"], check=True)
"""


@pytest.mark.parametrize(
    ("kind", "size", "said"),
    [
        ("full", "200k", "no space is left"),
        ("read-only", "50m", "Read-only file system"),
        ("gone", "50m", "the same command"),
    ],
)
def test_a_disk_that_fails_ends_the_run_and_a_good_one_lets_it_go_on(
    kind: str, size: str, said: str, finished: Path, tmp_path: Path
) -> None:
    if (
        shutil.which("unshare") is None
        or subprocess.run(
            ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True
        ).returncode
    ):
        pytest.skip("mounts disks of its own, which needs unshare and user namespaces")
    (tmp_path / "study.yaml").write_text(small_study().to_yaml())
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "disk").mkdir()
    mount = f'mount -t tmpfs -o size={size} tmpfs disk && exec "$@"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, "sh", sys.executable, "program.py", kind, "disk"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    first, *_ = done.stderr.splitlines()
    assert first.startswith("error: ") and said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert "status run 2" in done.stdout and done.stdout.count("status") >= 2, done.stdout
    # What was left goes on elsewhere; a disk that is gone left nothing.
    left = tmp_path / "left"
    assert not list(left.glob("failed/*"))
    assert not run_study(small_study(), left).failures
    assert table_bytes(left) == table_bytes(finished)
