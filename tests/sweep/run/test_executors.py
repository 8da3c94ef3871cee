"""The same tables, bit for bit, whoever does the work: two processes, Ray, a node that is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mgm_jax.conversion import convert_entry
from mgm_jax.errors import InputError
from mgm_jax.parallel.processes import is_one_of_many
from mgm_jax.sweep import run_study
from mgm_jax.sweep.run.executors.choose import choose_executor
from mgm_jax.sweep.run.executors.local import LocalExecutor
from tests.launch import ROOT, free_port
from tests.parallel.test_many_hosts import open_mpi, slurm
from tests.sweep.small_study import small_study
from tests.sweep.tables import table_bytes

#: Where programs that tests start find the packages; weights of the zoo need the converters.
PACKAGES = os.pathsep.join([str(ROOT), str(ROOT / "converters")])

#: Drawn and converted weights, enough encoders for clusters, a probe: every stage of a run. As many
#: views as in the small study, for which everything is compiled, and few programs: JAX keeps none
#: of a process that is not the first, so each is compiled anew. That many hosts share the rows of a
#: linear probe is asked of ``tests/parallel/many_hosts.py``.
STUDY = small_study(
    encoders=[
        {"source": "pixels", "size": 8},
        {"source": "conv4", "size": 32, "seeds": [0, 1]},
        {"source": "checkpoint.safetensors", "size": 32},
    ],
    augmentation={"settings": ["colorjitter"], "images": 6, "views": 8},
    transfer={
        "targets": [{"source": "digits", "per_class": 5, "name": "target"}],
        "probes": ["knn"],
        "scores": ["h-score"],
    },
)

#: Tables of the stages after the first two.
MORE_TABLES = ("transfer", "clusters", "cluster_tree", "cluster_agreement", "similarity")


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of one process, the checkpoint of the study beside them."""
    base = tmp_path_factory.mktemp("alone")
    write_conv4(base / "checkpoint.safetensors")
    assert not run_study(STUDY, base / "out", base=base, convert=convert_entry).failures
    return base / "out"


def write_conv4(path: Path) -> None:
    """A checkpoint of a Conv4 as PyTorch names and lays out its weights, all drawn."""
    rng = np.random.default_rng(0)
    weights: dict[str, np.ndarray] = {}
    for i, width in enumerate((3, 64, 64, 64)):
        kernel = rng.normal(scale=np.sqrt(2 / (9 * width)), size=(64, width, 3, 3))
        weights[f"encoder.{i}.0.weight"] = kernel.astype(np.float32)
        weights[f"encoder.{i}.0.bias"] = np.zeros(64, np.float32)
        for name, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
            weights[f"encoder.{i}.1.{name}"] = np.full(64, value, np.float32)
    save_file(weights, path)


def assert_same(out: Path, alone: Path) -> None:
    """Every table of every stage, byte for byte."""
    assert table_bytes(out) == table_bytes(alone)
    for name in MORE_TABLES:
        file = f"{name}.parquet"
        assert (out / file).read_bytes() == (alone / file).read_bytes(), name


@pytest.mark.slow
def test_two_processes_of_a_job_share_a_study(alone: Path, tmp_path: Path) -> None:
    study, out = alone.parent / "study.yaml", tmp_path / "out"
    study.write_text(STUDY.to_yaml())
    job = free_port(least=2**16 - 2**12) - (2**16 - 2**12)
    common = os.environ | {"PYTHONPATH": PACKAGES, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "mgm_jax", "run", str(study), "-o", str(out)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    programs = [
        subprocess.Popen(command, env=common | slurm(index, job), **pipes) for index in range(2)
    ]
    written = [program.communicate(timeout=300) for program in programs]
    assert [program.returncode for program in programs] == [0, 0], written
    assert_same(out, alone)
    assert "degree" in written[0][0] and "degree" not in written[1][0]


def test_a_job_of_one_process_or_its_script_is_no_job_of_many() -> None:
    assert is_one_of_many(slurm(1, 7)) and is_one_of_many(open_mpi(0, 7))
    assert not is_one_of_many({})
    assert not is_one_of_many(slurm(0, 7) | {"SLURM_NTASKS": "1"})
    assert not is_one_of_many({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"})
    assert is_one_of_many({"TPU_WORKER_HOSTNAMES": "a,b"})
    assert not is_one_of_many({"TPU_WORKER_HOSTNAMES": "a"})


def test_options_that_do_not_go_together_are_refused() -> None:
    assert isinstance(choose_executor("local", processes=1), LocalExecutor)
    for options, said in (
        ({"kind": "slurm"}, "local or ray"),
        ({"kind": "local", "address": "auto"}, "--address"),
        ({"kind": "ray", "processes": 2}, "leave out --processes"),
        ({"kind": "local", "processes": 2}, "belong together"),
    ):
        with pytest.raises(InputError, match=said):
            choose_executor(**options)


@pytest.mark.parametrize(("gpus", "asked"), [({}, True), ({"MGM_GPUS": "0"}, False)])
def test_the_job_scripts_ask_for_gpus_where_there_are_some(
    gpus: dict[str, str], asked: bool, tmp_path: Path
) -> None:
    for scheduler in ("sbatch", "ray"):
        (tmp_path / scheduler).write_text('#!/bin/sh\necho "$@"\n')
        (tmp_path / scheduler).chmod(0o755)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", **gpus}
    said = {}
    for script, first in (("sweep_slurm.sh", ()), ("sweep_ray.sh", ("http://head:8265",))):
        command = [str(ROOT / "examples" / script), *first, "study.yaml", "/shared/out"]
        said[script] = subprocess.check_output(command, env=environment, text=True)
        assert "study.yaml" in said[script] and "/shared/out" in said[script]
    assert ("--gpus-per-task=1" in said["sweep_slurm.sh"]) == asked
    assert f"--gpus {int(asked)}" in said["sweep_ray.sh"]


def test_a_ray_cluster_that_loses_a_node(alone: Path, tmp_path: Path, monkeypatch) -> None:
    ray = pytest.importorskip("ray", reason="runs a study on a Ray cluster, needs ray")
    from ray.cluster_utils import Cluster

    from mgm_jax.sweep.run.executors.on_ray import RayExecutor

    monkeypatch.setenv("PYTHONPATH", PACKAGES)
    memory = {"object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **memory})
    try:
        lost = cluster.add_node(num_cpus=1, **memory)
        executor = RayExecutor(address=cluster.address)
        assert executor.workers == 2
        with pytest.raises(InputError, match="no node"):
            RayExecutor(address=cluster.address, cpus=2)
        out = tmp_path / "out"

        def lose_a_node() -> None:
            while not list(out.glob("records/*.json")):
                time.sleep(0.01)
            cluster.remove_node(lost, allow_graceful=False)

        loser = threading.Thread(target=lose_a_node, daemon=True)
        loser.start()
        result = run_study(STUDY, out, base=alone.parent, convert=convert_entry, executor=executor)
        loser.join(timeout=60)
        assert lost not in cluster.list_all_nodes()
        assert not result.failures
        assert_same(out, alone)
    finally:
        ray.shutdown()
        cluster.shutdown()
