"""What this device takes, beside what its compiler counts and what others take.

For a person with a TPU or a GPU; one command, some minutes::

    pip install -e .            # and the JAX of the device: jax[tpu] or jax[cuda12]
    python -m benchmarks.on_device

It times what users call, on one device: exact k-NN graphs of three widths (beside a loop of PyTorch
and FAISS where these are installed and see the device), NNK graphs, ``manifold_metrics`` of one
cloud and of images with 64 views each, a step of 45 linear probes, and ResNet-50 and ViT-B/16 in
bfloat16. All of one task take turns, and the median of the turns counts. The table and the
hardware are written to ``results/on_device_<device>.json``. On a CPU it runs too, with fewer
points and without predictions.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.knn import post_relu
from benchmarks.measuring.opponents import Calls, knn_loops, torch_encoder
from benchmarks.measuring.predicted import predicted
from benchmarks.measuring.timing import RESULTS, interleaved, report

K = 50
OURS = "mgm_jax"
WIDTHS = (2048, 768, 384)
# What a kernel of the compilers' table holds against each query.
_TABLE = 65536


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much of everything is timed.

    Attributes:
        points: of the clouds.
        widths: features of the k-NN graphs.
        rows: that the probes learn from.
        classes: that they tell apart.
        images: that the encoders read at once.
        turns: of each task.
    """

    points: int
    widths: tuple[int, ...] = WIDTHS
    rows: int = 8192
    classes: int = 100
    images: int = 256
    turns: int = 5


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a user asks for.

    Attributes:
        name: what the table calls it.
        points: that it is about; the table says how many of them a second.
        kernel: in the compilers' table; with the number of its points that the task amounts to.
        calls: ours and others', each the whole work once; made when the task is timed.
    """

    name: str
    points: int
    kernel: tuple[str, float] | None
    calls: Callable[[], Calls]


def tasks(sizes: Sizes, platform: str) -> Iterator[Task]:
    """All tasks, in the order of the table."""
    n = sizes.points
    for d in sizes.widths:
        yield Task(
            name=f"k-NN, d = {d}",
            points=n,
            kernel=(f"k-NN, d = {d}", n * n / _TABLE) if d in WIDTHS else None,
            calls=partial(_knn, n, d, platform),
        )
    in_pairs = platform == "tpu"
    yield Task(
        name="NNK graph",
        points=n,
        kernel=("NNK graph of a cloud in pairs" if in_pairs else "NNK graph of a cloud", n),
        calls=partial(_nnk, n, sizes.widths[0]),
    )
    yield Task(
        name="metrics, one cloud",
        points=n,
        kernel=("metrics, large group", n),
        calls=partial(_metrics, n, sizes.widths[0], n),
    )
    yield Task(
        name="metrics, images of 64 views",
        points=n,
        kernel=("metrics, images of 64 views", n),
        calls=partial(_metrics, n, sizes.widths[0], 64),
    )
    yield Task(
        name="a step of 45 linear probes",
        points=sizes.rows,
        kernel=("probe, 45 strengths", sizes.rows),
        calls=partial(_probe_step, sizes),
    )
    for title, name in (("ResNet-50", "resnet50"), ("ViT-B/16", "vit_b16")):
        yield Task(
            name=f"{title}, bfloat16",
            points=sizes.images,
            kernel=(title, sizes.images),
            calls=partial(_embed, name, sizes.images, platform),
        )


def _knn(n: int, d: int, platform: str) -> Calls:
    from mgm_jax import knn_graph

    x = post_relu(n, d)
    on_device = jnp.asarray(x)
    ours: Calls = {OURS: lambda: knn_graph(on_device, k=K, metric="cosine")}
    return ours | knn_loops(x, k=K, platform=platform)


def _nnk(n: int, d: int) -> Calls:
    from mgm_jax import nnk_graph

    x = jnp.asarray(post_relu(n, d))
    return {OURS: lambda: nnk_graph(x, k=K)}


def _metrics(n: int, d: int, group: int) -> Calls:
    from mgm_jax import manifold_metrics

    n -= n % group
    x, groups = jnp.asarray(post_relu(n, d)), np.arange(n) // group
    return {OURS: lambda: manifold_metrics(x, groups=groups)}


def _probe_step(sizes: Sizes) -> Calls:
    """The step that all 45 penalties take together, again and again from where it led."""
    from mgm_jax.probe.logistic import stack

    lanes, width, classes = 45, sizes.widths[0], sizes.classes
    z = jnp.asarray(post_relu(sizes.rows, width))
    codes = jnp.asarray(np.random.default_rng(0).integers(0, classes, sizes.rows), jnp.int32)
    scale = jnp.full((lanes, width), 0.1, jnp.float32)
    ridge = jnp.broadcast_to(jnp.logspace(-6, 5, lanes, dtype=jnp.float32)[:, None], scale.shape)
    start = jnp.zeros((lanes, width, classes), jnp.float32)
    state = [stack.begin(start, jnp.full(lanes, 0.1, jnp.float32))]

    def step() -> None:
        state[0] = stack.advance(state[0], z, codes, scale, ridge, rank=width - 1)
        jax.block_until_ready(state[0])

    return {OURS: step}


def _embed(name: str, images: int, platform: str) -> Calls:
    from mgm_jax import load_encoder

    encoder = load_encoder(f"{name}:seed=0").with_dtype("bfloat16")
    side = encoder.preprocess.size
    views = np.random.default_rng(0).random((images, side, side, 3), np.float32)
    on_device: Any = jnp.asarray(views)
    ours: Calls = {OURS: lambda: jax.block_until_ready(encoder.features(on_device))}
    return ours | torch_encoder(name, views, platform=platform)


def rows_of(task: Task, *, kind: str, turns: int) -> list[dict[str, object]]:
    """Time a task; a row a contestant, ours first and beside what was predicted."""
    seconds = interleaved(task.calls(), turns=turns)
    expected = predicted(kind, task.kernel[0], points=task.kernel[1]) if task.kernel else None
    rows = []
    for who, value in seconds.items():
        row: dict[str, object] = {
            "task": task.name,
            "points": task.points,
            "who": who,
            "seconds": value,
            "points/s": task.points / value,
        }
        if who == OURS and expected:
            row |= {
                "predicted": expected.seconds,
                "by": expected.by,
                "measured / predicted": value / expected.seconds,
            }
        elif who != OURS:
            row["times ours"] = value / seconds[OURS]
        rows.append(row)
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Time everything, print the table, write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, help="65536; 4096 on a CPU")
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--rows", type=int, help="8192; 1024 on a CPU")
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--images", type=int, help="256; 8 on a CPU")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="parts of names of tasks")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where the table is written")
    options = parser.parse_args(arguments)
    # PyTorch and FAISS need memory, too.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    device = jax.devices()[0]
    on_cpu = device.platform == "cpu"
    sizes = Sizes(
        points=options.points or (4096 if on_cpu else 65536),
        widths=tuple(options.widths),
        rows=options.rows or (1024 if on_cpu else 8192),
        classes=options.classes,
        images=options.images or (8 if on_cpu else 256),
        turns=options.turns,
    )
    rows: list[dict[str, object]] = []
    # One device: a mesh of all of them would not be what the prediction is about.
    with jax.default_device(device):
        for task in tasks(sizes, device.platform):
            if options.only is None or any(part in task.name for part in options.only):
                rows += rows_of(task, kind=device.device_kind, turns=sizes.turns)
                print(f"{task.name}: {rows[-1]['seconds']:.3g} s", flush=True)
    kind = re.sub(r"\W+", "_", device.device_kind).strip("_").lower()
    report(f"on_device_{kind}", rows, folder=options.folder)


if __name__ == "__main__":
    main()
