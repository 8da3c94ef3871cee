"""Runs into object stores: moto's S3 server, and fake-gcs-server in place of Google's storage."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tests.engines.conftest import MGM, Daemon, environment_of, program, run_all, wait_for
from tests.launch import free_port
from tests.sweep.run.test_executors import assert_same

pytestmark = pytest.mark.nightly


@dataclass(frozen=True, kw_only=True)
class Store:
    """A server with one bucket, ``results``: how its clients are told of it."""

    protocol: str
    environment: dict[str, str]
    options: dict[str, Any]

    def opened(self) -> Any:
        """fsspec's view of it, as it is now."""
        return fsspec.filesystem(self.protocol, skip_instance_cache=True, **self.options)


def s3(daemon: Daemon) -> Store:
    pytest.importorskip("s3fs")
    port = free_port()
    daemon(program("moto_server", package="make engines"), "-H", "127.0.0.1", "-p", str(port))
    wait_for(port)
    address = f"http://127.0.0.1:{port}"
    urllib.request.urlopen(urllib.request.Request(f"{address}/results", method="PUT"))
    return Store(
        protocol="s3",
        environment={
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": address,
        },
        options={"key": "test", "secret": "test", "endpoint_url": address},
    )


def gcs(daemon: Daemon) -> Store:
    pytest.importorskip("gcsfs")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    daemon(
        program("fake-gcs-server", package="make engines"),
        *("-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)),
        *("-external-url", address, "-log-level", "error"),
    )
    wait_for(port)
    content = {"Content-Type": "application/json"}
    name = json.dumps({"name": "results"}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{address}/storage/v1/b", name, content))
    return Store(
        protocol="gs",
        environment={
            "STORAGE_EMULATOR_HOST": address,
            "FSSPEC_GS_TOKEN": "anon",
            # Otherwise gcsfs asks for the kind of the bucket by gRPC, which no emulator answers,
            # and waits a minute each time.
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        },
        options={"token": "anon", "endpoint_url": address},
    )


@pytest.mark.parametrize("server", [s3, gcs])
def test_a_run_into_a_bucket_goes_on_from_it_on_another_disk(
    server: Callable[[Daemon], Store],
    daemon: Daemon,
    alone: Path,
    study_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = server(daemon)
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    environment = environment_of()
    command = (*MGM, str(study_file), "-o")
    # A bucket that is not there is refused, and none is made by a mistyped name.
    typo = (*command, f"{store.protocol}://result/study", "--work", str(tmp_path / "typo"))
    assert "there is no bucket 'result'" in run_all(*typo, environment=environment, status=2)
    assert not store.opened().exists("result")
    url = f"{store.protocol}://results/study"
    first, second = tmp_path / "first", tmp_path / "second"
    run_all(*command, url, "--work", str(first), environment=environment)
    assert_same(first, alone)
    # The disk is lost, and what the bucket has is what is gone on from.
    kept = {path.name: path.stat().st_size for path in first.glob("records/*")}
    shutil.rmtree(first)
    said = run_all(*command, url, "--work", str(second), environment=environment)
    assert "files taken into" in said.replace("\n", " ")
    assert_same(second, alone)
    assert {path.name: path.stat().st_size for path in second.glob("records/*")} == kept
    storage = store.opened()
    got = storage.cat_file("results/study/summary.parquet")
    assert got == (alone / "summary.parquet").read_bytes()
    assert not storage.exists("results/study/lease.json")
