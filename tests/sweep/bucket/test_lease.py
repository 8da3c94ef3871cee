"""Who writes into a bucket: a second run is refused, a dead one's place is taken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from mgm_jax.errors import InputError
from mgm_jax.sweep import mirrored
from mgm_jax.sweep.bucket.lease import Lease, LeaseLost, lease_holder
from mgm_jax.sweep.bucket.objects import LEASE, Bucket
from tests.launch import ROOT
from tests.sweep.small_study import small_study

URL = "memory://leased/study"


@pytest.fixture(params=["memory", "file"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty bucket."""
    monkeypatch.setattr("mgm_jax.sweep.bucket.lease._SETTLE", 0.01)
    fsspec.filesystem("memory").store.clear()
    yield Bucket.open(URL if request.param == "memory" else f"file://{tmp_path}/bucket")
    fsspec.filesystem("memory").store.clear()


def lease_of(bucket: Bucket, *, stale: float = 20.0, said: list[str] | None = None) -> Lease:
    return Lease(bucket, renew=0.02, stale=stale, say=[].append if said is None else said.append)


def left_by(bucket: Bucket, **changes: object) -> dict[str, object]:
    """A lease that nobody renews any more."""
    with lease_of(bucket).held():
        said = json.loads(bucket.read(LEASE) or b"")
    said |= {"token": "another", "machine": "elsewhere", "host": "node7", "process": 5} | changes
    bucket.write(LEASE, json.dumps(said).encode())
    return said


def test_a_second_run_is_told_who_holds_the_bucket(bucket: Bucket) -> None:
    assert lease_holder(bucket) is None
    with lease_of(bucket).held():
        first = json.loads(bucket.read(LEASE) or b"")
        who = rf"another run is writing here \(process {os.getpid()} on .*, last renewed 2"
        with pytest.raises(InputError, match=who), lease_of(bucket).held():
            raise AssertionError
        now = json.loads(bucket.read(LEASE) or b"")
        assert now["token"] == first["token"] and now["renewed"] > first["renewed"]
        assert str(lease_holder(bucket)).startswith(f"process {os.getpid()} on ")
    assert bucket.read(LEASE) is None
    with lease_of(bucket).held():
        pass


def test_a_lease_that_nobody_renews_is_taken_over(bucket: Bucket) -> None:
    left_by(bucket)
    said: list[str] = []
    # Its own renewals stay out of the way.
    taking = Lease(bucket, renew=30.0, stale=0.2, say=said.append)
    with taking.held():
        assert "held by process 5 on node7" in said[0]
        assert json.loads(bucket.read(LEASE) or b"")["token"] != "another"
        taking.check()
        # Had it slept meanwhile, it would find out before it writes.
        bucket.write(LEASE, json.dumps({"token": "another"}).encode())
        with pytest.raises(LeaseLost, match="has taken it over"):
            taking.check()
    assert json.loads(bucket.read(LEASE) or b"")["token"] == "another", "not ours to give back"


def test_what_is_surely_dead_is_not_waited_for(bucket: Bucket) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with lease_of(bucket).held():
        machine = json.loads(bucket.read(LEASE) or b"")["machine"]
    for known in (
        {"renewed": time.time() - 4000},
        {"machine": machine, "process": ended.pid},
    ):
        left_by(bucket, **known)
        assert lease_holder(bucket) is None
        said: list[str] = []
        with lease_of(bucket, stale=1e6, said=said).held():
            pass
        assert not said
    # Elsewhere the same number is another process, and here a living one may go on.
    for known in ({"process": ended.pid}, {"machine": machine, "process": os.getpid()}):
        left_by(bucket, **known)
        assert lease_holder(bucket) is not None
        said = []
        with lease_of(bucket, stale=0.1, said=said).held():
            assert len(said) == 1
    bucket.write(LEASE, b"no lease")
    with lease_of(bucket, stale=0.1).held():
        pass
    # Removed by hand, it is written anew.
    lease = lease_of(bucket)
    with lease.held():
        bucket.remove(LEASE)
        lease.check()
        assert bucket.read(LEASE) is not None


def test_who_comes_first_is_decided_by_what_is_read_back(bucket: Bucket, monkeypatch) -> None:
    # As on a store that knows no conditional writes: both saw nothing, the other wrote last.
    def overwritten(name: str, content: bytes) -> bool:
        bucket.write(name, json.dumps({"token": "another", "host": "node7"}).encode())
        return False

    monkeypatch.setattr(Bucket, "write_new", lambda self, name, content: overwritten(name, content))
    with pytest.raises(InputError, match="another run is writing"), lease_of(bucket).held():
        raise AssertionError
    monkeypatch.undo()
    assert json.loads(bucket.read(LEASE) or b"")["token"] == "another"
    bucket.remove(LEASE)
    assert bucket.write_new(LEASE, b"{}")
    with pytest.raises(FileExistsError):
        bucket.write_new(LEASE, b"{}")


def test_of_several_that_take_over_at_once_one_does(bucket: Bucket) -> None:
    left_by(bucket)
    start, over = threading.Barrier(4), threading.Event()
    ends: list[str] = []

    def end(how: str) -> None:
        ends.append(how)
        if len(ends) == 4:
            over.set()

    def run() -> None:
        start.wait()
        try:
            # Long enough that no busy machine keeps a thread from renewing in time.
            with Lease(bucket, renew=0.6, stale=1.2, say=[].append).held():
                end("held")
                over.wait(30)
        except InputError as error:
            end("refused" if "another run is writing" in str(error) else str(error))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == ["held", "refused", "refused", "refused"]
    left = bucket.storage.find(bucket.root)
    assert not left, "neither the lease nor what was made to take over stays"


class Strict(MemoryFileSystem):
    """As S3 and Google's storage: a bucket must exist, and ``makedirs`` would make it."""

    protocol = "s3"
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    buckets: ClassVar[set[str]] = {"results"}

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        self.buckets.add(path.strip("/").partition("/")[0])

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options) -> None:
        if path.strip("/").partition("/")[0] not in self.buckets:
            raise FileNotFoundError("The specified bucket does not exist")
        super().pipe_file(path, value, mode=mode, **options)


def test_a_mistyped_bucket_is_refused_and_not_made(tmp_path: Path) -> None:
    bucket = Bucket(url="s3://resluts/study", storage=Strict(), root="resluts/study")
    with pytest.raises(InputError, match=r"no bucket 'resluts'.*spelling"), lease_of(bucket).held():
        raise AssertionError
    assert Strict.buckets == {"results"}
    there = Bucket(url="s3://results/study", storage=Strict(), root="results/study")
    with lease_of(there).held():
        assert there.read(LEASE) is not None
    assert Strict.buckets == {"results"}


def test_a_run_that_lost_its_bucket_goes_on_alone(bucket: Bucket, tmp_path: Path) -> None:
    said: list[str] = []
    told = threading.Event()
    work = tmp_path / "work"

    def say(text: str) -> None:
        said.append(text)
        told.set()

    with (
        pytest.raises(InputError, match=r"process 5 on node7, .* has taken it over.*--all"),
        mirrored(bucket.url, work, every=0.02, say=say) as folder,
    ):
        left_by_other = {"token": "another", "host": "node7", "process": 5, "renewed": time.time()}
        bucket.write(LEASE, json.dumps(left_by_other).encode())
        (folder / "summary.csv").write_text("of the run that lost it")
        assert told.wait(60)
    assert "goes on in" in said[0]
    assert bucket.contents() == {} and bucket.read("summary.csv") is None
    assert (work / "summary.csv").exists()


@pytest.mark.slow
def test_of_two_whole_runs_on_one_address_one_works(tmp_path: Path) -> None:
    study = small_study(encoders=[{"source": "pixels", "size": 8}], augmentation=None)
    (tmp_path / "study.yaml").write_text(study.to_yaml())
    url = f"file://{tmp_path}/bucket"
    # Both are ready before either looks at the bucket; who waits soon sees a renewal.
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from mgm_jax.cli import main\nfrom mgm_jax.sweep.bucket.lease import Lease\n"
        "import mgm_jax.sweep.run.study\n"
        "Lease.__init__.__kwdefaults__['renew'] = 0.3\n"
        "me, other = Path(sys.argv.pop(1)), Path(sys.argv.pop(1))\n"
        "me.touch()\n"
        "while not other.exists():\n    time.sleep(0.005)\n"
        "main()\n"
    )
    runs = []
    for me, other in (("a", "b"), ("b", "a")):
        words = [me, other, "run", "study.yaml", "-o", url, "--work", f"work-{me}"]
        runs.append(
            subprocess.Popen(
                [sys.executable, "-c", program, *words],
                cwd=tmp_path,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    errors = [run.communicate(timeout=300)[1] for run in runs]
    ends = [run.returncode for run in runs]
    assert sorted(ends) == [0, 2], errors
    winner, loser = runs[ends.index(0)], errors[ends.index(2)]
    assert f"another run is writing here (process {winner.pid} on" in loser
    sent = {path.name for path in (tmp_path / "bucket").iterdir()}
    assert {"summary.parquet", "contents.json"} <= sent and "lease.json" not in sent
