"""Runs into an object store: moto's S3 server."""

from __future__ import annotations

import shutil
import urllib.request
from pathlib import Path

import fsspec
import pytest

from tests.engines.conftest import Daemon, environment_of, program, run_mgm, wait_for
from tests.launch import free_port
from tests.sweep.test_executors import assert_same

pytestmark = pytest.mark.nightly


def s3(daemon: Daemon) -> tuple[dict[str, str], dict[str, str], str]:
    """Moto's server with a bucket; the environment of its clients, fsspec's options, address."""
    pytest.importorskip("s3fs")
    port = free_port()
    daemon(program("moto_server", package="moto[server]"), "-H", "127.0.0.1", "-p", str(port))
    wait_for(port)
    address = f"http://127.0.0.1:{port}"
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
    }
    urllib.request.urlopen(urllib.request.Request(f"{address}/results", method="PUT"))
    options = {"key": "test", "secret": "test", "endpoint_url": address}
    return environment, options, "s3://results/study"


def test_a_run_into_a_bucket_goes_on_from_it_on_another_disk(
    daemon: Daemon, alone: Path, study_file: Path, tmp_path: Path
) -> None:
    environment, options, url = s3(daemon)
    environment = environment_of(**environment)
    first, second = tmp_path / "first", tmp_path / "second"
    run_mgm(str(study_file), "-o", url, "--work", str(first), environment=environment)
    assert_same(first, alone)
    # The disk is lost, and what the bucket has is what is gone on from.
    kept = {path.name: path.stat().st_size for path in first.glob("records/*")}
    shutil.rmtree(first)
    run_mgm(str(study_file), "-o", url, "--work", str(second), environment=environment)
    assert_same(second, alone)
    assert {path.name: path.stat().st_size for path in second.glob("records/*")} == kept
    protocol, _, place = url.partition("://")
    storage = fsspec.filesystem(protocol, **options)
    got = storage.cat_file(f"{place}/summary.parquet")
    assert got == (alone / "summary.parquet").read_bytes()
    assert not storage.exists(f"{place}/lease.json")
