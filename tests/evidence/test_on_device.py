"""The table of a device: it runs here with tiny shapes, and predicts what the compilers counted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.compile_only.devices import DEVICES
from benchmarks.compile_only.kernels import ALL, KERNELS
from benchmarks.measuring.predicted import predicted
from benchmarks.on_device import OURS, Sizes, Task, main, rows_of, tasks


@pytest.mark.parametrize("platform", ["cpu", "gpu", "tpu"])
def test_every_task_has_a_kernel_of_the_compilers(platform: str) -> None:
    result = list(tasks(Sizes(points=4096), platform))
    kernels = {kernel.name: kernel for kernel in KERNELS}
    assert {task.kernel[0] for task in result if task.kernel} <= set(kernels)
    assert len([task for task in result if task.kernel]) == len(result)


def test_a_prediction_scales_the_counted_seconds(tmp_path: Path) -> None:
    table = tmp_path / "counts.json"
    row = {"device": "v5e", "kernel": "ResNet-50", "program": ALL, "points": 256, "seconds": 0.5}
    table.write_text(json.dumps({"rows": [row | {"program": "encoder", "seconds": 9}, row]}))
    result = predicted(DEVICES["v5e"].kind, "ResNet-50", points=64, tables=(table,))
    assert result == (0.125, "compiler")


def test_a_gpu_is_predicted_by_its_product(tmp_path: Path) -> None:
    missing = (tmp_path / "none.json",)
    result = predicted(DEVICES["H200"].kind, "k-NN, d = 768", points=8192, tables=missing)
    # Two flops for each of 8192 x 65536 x 768, at 989 TFLOP/s.
    assert result is not None and result.by == "product"
    assert result.seconds == pytest.approx(2 * 8192 * 65536 * 768 / 989e12)
    assert predicted(DEVICES["H200"].kind, "NNK graph of a cloud", points=1, tables=missing) is None
    assert predicted("cpu", "ResNet-50", points=1) is None


def test_ours_stands_beside_the_prediction_and_others_beside_ours() -> None:
    task = Task(
        name="task",
        points=10,
        kernel=("k-NN, d = 768", 4096),
        calls=lambda: {OURS: lambda: None, "another": lambda: None},
    )
    ours, other = rows_of(task, kind=DEVICES["H200"].kind, turns=1)
    assert ours["measured / predicted"] == ours["seconds"] / ours["predicted"]  # type: ignore[operator]
    assert other["times ours"] == other["seconds"] / ours["seconds"]  # type: ignore[operator]


def test_everything_but_the_large_networks_runs_here(tmp_path: Path) -> None:
    sizes = "--points 128 --widths 32 --rows 64 --classes 3 --turns 1"
    main([*sizes.split(), "--only", "k-NN", "NNK", "metrics", "probes", "--folder", str(tmp_path)])
    (file,) = tmp_path.iterdir()
    content = json.loads(file.read_text())
    assert content["hardware"]["devices"] and content["hardware"]["processor"]
    done = {row["task"] for row in content["rows"] if row["who"] == OURS}
    wanted = {task.name for task in tasks(Sizes(points=128, widths=(32,)), "cpu")}
    assert done == {name for name in wanted if "bfloat16" not in name}
    for row in content["rows"]:
        assert row["points/s"] == row["points"] / row["seconds"] > 0


def test_importing_it_leaves_the_environment_of_a_tpu_alone() -> None:
    code = (
        "import os, jax; before = dict(os.environ); import benchmarks.on_device; "
        "assert not [k for k in os.environ if 'TPU' in k and k not in before], os.environ"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
