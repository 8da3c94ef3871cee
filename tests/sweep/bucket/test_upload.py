"""Copies of finished results in a bucket; fsspec's file system in memory stands for one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest

from mgm_jax.cli import app
from mgm_jax.embeddings import EmbeddingStore
from mgm_jax.errors import InputError
from mgm_jax.sweep import refuse_url, run_study, upload_results
from mgm_jax.sweep.output.hold import hold
from tests.sweep.small_study import small_study
from tests.sweep.tables import TABLES

URL = "memory://bucket/study"


@pytest.fixture
def bucket():
    """An empty bucket, and what lies in it by name."""
    storage = fsspec.filesystem("memory")
    storage.store.clear()
    yield lambda: {
        path.removeprefix("/bucket/study/"): storage.cat_file(path)
        for path in storage.find("/bucket")
    }
    storage.store.clear()


@pytest.fixture
def results(finished: Path, tmp_path: Path) -> Path:
    out = tmp_path / "results"
    shutil.copytree(finished, out)
    (out / "report.html").write_text("<p>report</p>")
    return out


def test_tables_and_report_are_copied_and_read_back(results: Path, bucket) -> None:
    done = upload_results(results, URL)
    held = bucket()
    tables = {f"{name}.{suffix}" for name in TABLES for suffix in ("parquet", "csv")}
    assert tables | {"study.json", "report.html"} <= set(held)
    assert not any(name.startswith(("embeddings", "records", "canvases")) for name in held)
    contents = json.loads(held.pop("contents.json"))
    assert set(contents) == set(held) and done.sent[0] == len(held)
    for name, content in held.items():
        assert content == (results / name).read_bytes()
    pd.testing.assert_frame_equal(
        pd.read_parquet(f"{URL}/summary.parquet"), pd.read_parquet(results / "summary.parquet")
    )


def test_only_what_changed_is_sent_and_only_our_own_is_removed(results: Path, bucket) -> None:
    storage = fsspec.filesystem("memory")
    storage.pipe_file("/bucket/study/notes.txt", b"mine")
    first = upload_results(results, URL)
    assert upload_results(results, URL).sent == (0, 0)
    (results / "report.html").write_text("<p>another</p>")
    (results / "models.csv").unlink()
    done = upload_results(results, URL)
    assert (done.sent[0], done.kept, done.removed) == (1, first.sent[0] - 2, 1)
    held = bucket()
    assert held["report.html"] == b"<p>another</p>" and held["notes.txt"] == b"mine"
    assert "models.csv" not in held
    # An account that somebody has written into leads nowhere outside.
    storage.pipe_file("/bucket/other.txt", b"not ours")
    contents = json.loads(held["contents.json"]) | {"../other.txt": "0"}
    storage.pipe_file("/bucket/study/contents.json", json.dumps(contents).encode())
    assert upload_results(results, URL).removed == 0
    assert storage.cat_file("/bucket/other.txt") == b"not ours"


def test_a_copy_that_broke_off_goes_on(results: Path, bucket, monkeypatch) -> None:
    storage = fsspec.filesystem("memory")
    put, left = type(storage).put_file, [3]

    def failing(self, *args, **options):
        left[0] -= 1
        if left[0] < 0:
            raise OSError("connection lost")
        return put(self, *args, **options)

    monkeypatch.setattr(type(storage), "put_file", failing)
    with pytest.raises(InputError, match=r"memory://bucket/study: .*connection lost"):
        upload_results(results, URL)
    monkeypatch.undo()
    upload_results(results, URL)
    held = bucket()
    contents = json.loads(held.pop("contents.json"))
    assert set(contents) == set(held)
    assert all(content == (results / name).read_bytes() for name, content in held.items())


def test_embeddings_come_back_as_a_store(results: Path, bucket, tmp_path: Path) -> None:
    [folder] = results.glob("embeddings/conv4-s0/digits-crop*")
    (folder / "parts").mkdir(exist_ok=True)
    (folder / "parts" / "00000000.part").write_bytes(b"of a killed run")
    upload_results(results, URL, embeddings=True)
    assert not any(name.endswith(".part") for name in bucket())
    fsspec.filesystem("memory").get(
        "/bucket/study/embeddings", str(tmp_path / "back"), recursive=True
    )
    copy = EmbeddingStore.open(tmp_path / "back" / folder.relative_to(results / "embeddings"))
    assert copy.complete
    np.testing.assert_array_equal(copy.read(), EmbeddingStore.open(folder).read())
    next(folder.glob("commits/*.json")).unlink()
    with pytest.raises(InputError, match=r"not finished: embeddings/conv4-s0/digits-crop"):
        upload_results(results, URL, embeddings=True)


def test_what_cannot_be_copied_is_said(results: Path, tmp_path: Path, bucket) -> None:
    with hold(results), pytest.raises(InputError, match="another run is writing"):
        upload_results(results, URL)
    with pytest.raises(InputError, match="no study was run here"):
        upload_results(tmp_path / "empty", URL)
    assert not (tmp_path / "empty").exists()
    with pytest.raises(InputError, match=r"got '/tmp/x'"):
        upload_results(results, "/tmp/x")
    with pytest.raises(InputError, match="nosuch"):
        upload_results(results, "nosuch://bucket")
    (results / "summary.parquet").unlink()
    with pytest.raises(InputError, match="no finished study"):
        upload_results(results, URL)
    assert not bucket()


def test_a_bucket_is_no_folder(tmp_path: Path) -> None:
    refuse_url(tmp_path)
    refuse_url("../out")
    # A path swallows one of the slashes, and makes a folder of the rest.
    for url in (URL, Path(URL), "simplecache::s3://bucket/out"):
        with pytest.raises(InputError, match="mgm run -o"):
            refuse_url(url)
        with pytest.raises(InputError, match="mgm run -o"):
            run_study(small_study(), url)
    study = tmp_path / "study.yaml"
    study.write_text(
        "encoders: [{source: pixels}]\nimages: [{source: digits}]\noutput: nosuch://bucket/out\n"
    )
    with pytest.raises(InputError, match="nosuch://bucket/out"):
        app(["run", str(study)], standalone_mode=False)
    with pytest.raises(InputError, match="--work is for an output in a bucket"):
        app(["run", str(study), "-o", str(tmp_path), "--work", "w"], standalone_mode=False)
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]
