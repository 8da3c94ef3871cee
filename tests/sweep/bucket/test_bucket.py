"""Runs whose output is in a bucket; fsspec's file system in memory, or a folder, stands for one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

import fsspec
import pytest

from mgm_jax.cli import app
from mgm_jax.embeddings import EmbeddingStore
from mgm_jax.encoders import Encoder
from mgm_jax.errors import InputError
from mgm_jax.files.seals import read_sealed, write_sealed
from mgm_jax.sweep import (
    bucket_status,
    mirrored,
    output_folder,
    run_study,
    study_status,
    upload_results,
)
from mgm_jax.sweep.run import tasks
from tests.launch import ROOT
from tests.sweep.bucket.bucket_kill import STUDY
from tests.sweep.small_study import small_study
from tests.sweep.tables import table_bytes

# Runs and their copies do not depend on the version of Python; once in .ci/run is enough.
pytestmark = pytest.mark.slow

URL = "memory://bucket/study"


class Held:
    """The objects of a bucket in memory."""

    def __init__(self) -> None:
        self.storage = fsspec.filesystem("memory")

    def __call__(self) -> dict[str, bytes]:
        result = self.storage.find("/bucket/study")
        return {p.removeprefix("/bucket/study/"): self.storage.cat_file(p) for p in result}

    def put(self, name: str, content: bytes) -> None:
        self.storage.pipe_file(f"/bucket/study/{name}", content)

    def account(self) -> dict[str, str]:
        return json.loads(self()["contents.json"])

    def is_whole(self) -> bool:
        """Whether every object is there that the account names, as it says."""
        held = self()
        return all(
            hashlib.sha256(held[name]).hexdigest() == total
            for name, total in self.account().items()
        )


@pytest.fixture
def bucket():
    held = Held()
    held.storage.store.clear()
    yield held
    held.storage.store.clear()


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What encoders and measures are asked for, one entry a call."""
    calls: list[str] = []
    features, measure = Encoder.features, tasks.measure_points

    def noted_features(self, *arguments, **options):
        calls.append(self.name)
        return features(self, *arguments, **options)

    def noted_measure(*arguments, **options):
        calls.append("measure")
        return measure(*arguments, **options)

    monkeypatch.setattr(Encoder, "features", noted_features)
    monkeypatch.setattr(tasks, "measure_points", noted_measure)
    return calls


def run(url: str, work: Path, *, said: list[str] | None = None, study=None) -> None:
    with mirrored(url, work, say=[].append if said is None else said.append) as folder:
        assert folder == work
        assert not run_study(study or small_study(), folder).failures


def fill(folder: Path, finished: Path) -> None:
    """What a run would leave."""
    shutil.copytree(finished, folder, dirs_exist_ok=True)


def test_a_bucket_has_the_tables_of_a_folder_and_goes_on(
    finished: Path, tmp_path: Path, bucket: Held, computed: list[str], capsys, monkeypatch
) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(small_study().to_yaml())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    app(["run", str(study), "-o", URL], standalone_mode=False)
    assert f"{URL}: all that is finished is there" in capsys.readouterr().err
    held = bucket()
    tables = table_bytes(finished)
    assert {name: held[name] for name in tables} == tables
    assert bucket.is_whole() and "report.html" in held
    assert held.keys() - bucket.account().keys() == {"contents.json"}, "the lease is given back"
    kept = {name.split("/")[0] for name in held if "/" in name}
    assert kept == {"embeddings", "records", "studies"}

    [cache] = (tmp_path / "cache").glob("mgm_jax/buckets/*")
    assert table_bytes(cache) == tables
    app(["status", URL], standalone_mode=False)
    assert "9 cells: 9 done" in capsys.readouterr().out
    assert [one.states for one in bucket_status(URL)] == [study_status(finished)[0].states]

    # Another machine, whose clock and folders know nothing of the first.
    assert computed
    computed.clear()
    said: list[str] = []
    run(URL, tmp_path / "another", said=said)
    assert not computed and f"files taken into {tmp_path / 'another'}" in said[0]
    assert table_bytes(tmp_path / "another") == tables


def test_a_killed_run_whose_disk_is_lost_goes_on(
    tmp_path: Path, computed: list[str], monkeypatch
) -> None:
    url, work = f"file://{tmp_path}/bucket", tmp_path / "work"
    done = subprocess.run(
        [sys.executable, "-m", "tests.sweep.bucket.bucket_kill", url, str(work)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == -9, done.stderr
    shutil.rmtree(work)
    assert (tmp_path / "bucket" / "lease.json").exists()
    said: list[str] = []
    run(url, work, said=said, study=STUDY)
    # Of four cells two were measured, and the embeddings of all were there.
    assert computed == ["measure"] * 2
    assert not any("held by" in text for text in said), "this machine sees that it is dead"
    run_study(STUDY, tmp_path / "whole")
    assert table_bytes(work) == table_bytes(tmp_path / "whole")
    for name, content in table_bytes(work).items():
        assert (tmp_path / "bucket" / name).read_bytes() == content
    assert not (tmp_path / "bucket" / "lease.json").exists()


def test_what_is_damaged_in_the_bucket_is_made_again(
    finished: Path, tmp_path: Path, bucket: Held, computed: list[str]
) -> None:
    with mirrored(URL, tmp_path / "one", say=print) as folder:
        fill(folder, finished)
    before = bucket()
    record = next(n for n in before if n.startswith("records/") and n.endswith(".parquet"))
    [chunk] = [n for n in before if n.startswith("embeddings/conv4-s1/digits-crop") and "/c/" in n]
    lost = next(n for n in before if n.endswith(".parquet") and n not in (record, "models.parquet"))
    bucket.put(record, before[record][:-1] + b"?")
    bucket.put(chunk, before[chunk][:100])
    bucket.storage.rm_file(f"/bucket/study/{lost}")
    said: list[str] = []
    run(URL, tmp_path / "two", said=said)
    assert any("3 damaged there" in text and record in text for text in said)
    assert set(computed) == {"measure", "conv4-s1"}
    assert computed.count("measure") == 1 + lost.startswith("records/")
    assert table_bytes(tmp_path / "two") == table_bytes(finished)
    assert bucket.is_whole() and bucket() == before | {
        name: bucket()[name] for name in ("contents.json", "study.json")
    }


def test_a_bucket_that_fails_now_and_then_is_tried_again(
    finished: Path, tmp_path: Path, bucket: Held, monkeypatch
) -> None:
    put, left, recovered = type(bucket.storage).put_file, [12], threading.Event()

    def failing(self, *arguments, **options):
        left[0] -= 1
        if left[0] >= 0:
            raise ConnectionError("connection lost")
        return put(self, *arguments, **options)

    def say(text: str) -> None:
        said.append(text)
        if text.endswith("written again"):
            recovered.set()

    said: list[str] = []
    monkeypatch.setattr(type(bucket.storage), "put_file", failing)
    how = {"every": 0.01, "patience": (0.01, 0.01), "say": say}
    with mirrored(URL, tmp_path / "work", **how) as folder:
        fill(folder, finished)
        assert recovered.wait(60)
        assert bucket.is_whole()
        (folder / "report.html").write_text("<p>later</p>")
        left[0] = 2
    assert any("connection lost" in text and "the run goes on in" in text for text in said)
    assert bucket.is_whole() and bucket()["report.html"] == b"<p>later</p>"
    assert bucket()["points.parquet"] == (finished / "points.parquet").read_bytes()


def test_a_bucket_that_fails_for_good_leaves_the_results_here(
    finished: Path, tmp_path: Path, bucket: Held, monkeypatch
) -> None:
    def failing(self, *arguments, **options):
        raise ConnectionError("connection lost")

    work = tmp_path / "work"
    with pytest.raises(InputError, match="connection lost") as caught, monkeypatch.context() as m:
        m.setattr(type(bucket.storage), "put_file", failing)
        with mirrored(URL, work, every=0.01, patience=(0.0, 0.0), say=print) as folder:
            fill(folder, finished)
    assert f"results are in {work}; `mgm upload --all {work} {URL}`" in str(caught.value)
    assert table_bytes(work) == table_bytes(finished)
    # An error of the run itself is the one that is raised.
    said: list[str] = []
    with pytest.raises(ZeroDivisionError), monkeypatch.context() as m:
        m.setattr(type(bucket.storage), "put_file", failing)
        with mirrored(URL, work, patience=(), say=said.append):
            raise ZeroDivisionError
    assert "mgm upload --all" in said[-1]
    with pytest.raises(InputError, match=r"cannot be used \(connection lost\)"):
        monkeypatch.setattr(type(bucket.storage), "cat_file", failing)
        with mirrored(URL, work, patience=(0.0,), say=print):
            raise AssertionError("nothing may be done before what is there is known")
    monkeypatch.undo()

    done = upload_results(work, URL, everything=True)
    assert done.sent[0] and bucket.is_whole()
    with mirrored(URL, tmp_path / "fresh", say=print) as folder:
        assert table_bytes(folder) == table_bytes(finished)
        for store in folder.glob("embeddings/*/*"):
            assert EmbeddingStore.open(store).complete
    with pytest.raises(InputError, match="--all"):
        upload_results(work, URL)
    assert bucket.is_whole()


def test_the_bucket_is_whole_at_every_moment(
    finished: Path, tmp_path: Path, bucket: Held, monkeypatch
) -> None:
    put, order = type(bucket.storage).put_file, []

    def watched(self, source, target, **options):
        if "contents.json" in bucket():
            assert bucket.is_whole()
        order.append(target.removeprefix("/bucket/study/"))
        put(self, source, target, **options)

    monkeypatch.setattr("mgm_jax.sweep.bucket.copies.AT_ONCE", 1)
    monkeypatch.setattr(type(bucket.storage), "put_file", watched)
    with mirrored(URL, tmp_path, say=print) as folder:
        fill(folder, finished)
    assert order[-1] == "study.json" and set(order) == bucket.account().keys()
    for commit in (name for name in order if "/commits/" in name):
        store = commit.split("/commits/")[0]
        assert all(order.index(n) < order.index(commit) for n in order if f"{store}/emb" in n)
    # What changes is not spoken of until it is there; what goes is forgotten first.
    with mirrored(URL, tmp_path, say=print) as folder:
        (folder / "study.json").write_text("{}")
        (folder / "models.csv").unlink()
    assert order[-1] == "study.json" and bucket()["study.json"] == b"{}"
    assert "models.csv" not in bucket() and bucket.is_whole()


def test_the_newer_of_folder_and_bucket_counts(tmp_path: Path, bucket: Held) -> None:
    def write(folder: Path, **content: str) -> None:
        for name, text in content.items():
            path = folder / ("failed" if name.startswith("f") else "") / f"{name}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    with mirrored(URL, tmp_path / "one", say=print) as folder:
        write(folder, f1="1", f2="1", f3="1", a="1", b="1", c="1")
    with mirrored(URL, tmp_path / "two", say=print) as folder:
        # A retry made good what had failed.
        (folder / "failed" / "f1.json").unlink()
        (folder / "failed" / "f2.json").unlink()
        write(folder, a="2", b="2")
    write(tmp_path / "one", f2="newer", b="newer", d="new")
    (tmp_path / "one" / "c.json").unlink()
    with mirrored(URL, tmp_path / "one", say=print) as folder:
        result = {path.name: path.read_text() for path in folder.rglob("[a-z]*.json")}
    expected = {"f2": "newer", "f3": "1", "a": "2", "b": "newer", "c": "1", "d": "new"}
    assert result == {f"{name}.json": text for name, text in expected.items()}
    assert bucket.is_whole() and {n.split("/")[-1] for n in bucket.account()} == set(result)


def test_no_name_leads_out_of_the_folder(finished: Path, tmp_path: Path, bucket: Held) -> None:
    work = tmp_path / "in" / "work"
    evil = hashlib.sha256(b"evil").hexdigest()
    names = ["../evil.json", "records/../../evil.json", f"{tmp_path}/evil.json", ".lock", "x/y"]
    names += ["records//evil.json", "records/..", "records/a\\evil.json", ".bucket.json"]
    for name in ("../evil.json", "evil.json", "records/a.json"):
        bucket.put(name, b"evil")
    bucket.put(
        "contents.json", json.dumps(dict.fromkeys([*names, "records/a.json"], evil)).encode()
    )
    with mirrored(URL, work, say=print) as folder:
        left = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert left == {"records", "records/a.json", ".lock", ".bucket.json"}
    assert {path.name for path in tmp_path.iterdir()} == {"in"}
    assert {path.name for path in work.parent.iterdir()} == {"work"}

    account = next(finished.glob("studies/*.json"))
    said = read_sealed(account)
    said["cells"][0]["embeddings"] = "embeddings/../../elsewhere"
    (work / "studies").mkdir()
    write_sealed(work / "studies" / "evil.json", said)
    with pytest.raises(InputError, match="outside the folder"):
        study_status(work)


def test_a_damaged_account_is_not_taken_for_an_empty_one(tmp_path: Path, bucket: Held) -> None:
    bucket.put("contents.json", b'{"a.json": ')
    with (
        pytest.raises(InputError, match=r"contents\.json is damaged.*remove that object"),
        mirrored(URL, tmp_path, say=print),
    ):
        raise AssertionError
    with pytest.raises(InputError, match="no study was run here"):
        bucket_status("memory://bucket/elsewhere")


def test_many_processes_need_a_folder_that_they_share(tmp_path: Path, bucket: Held) -> None:
    class Other:
        """The second of two processes."""

        workers, writes = 2, False

        def first(self):
            return nullcontext()

    with (
        pytest.raises(InputError, match="give --work with a folder that all of them share"),
        output_folder(URL, say=print, executor=Other()),  # pyright: ignore[reportArgumentType]
    ):
        raise AssertionError
    with output_folder(URL, say=print, work=tmp_path, executor=Other()) as folder:  # pyright: ignore[reportArgumentType]
        assert folder == tmp_path
    assert not bucket(), "one of them sends"
