"""How many images a second do the encoders read, beside PyTorch, and does the device wait?

``python -m benchmarks.embed conv4`` (or ``resnet50``, ``vit_s16``, ``vit_b16``) races our float32
and bfloat16 against PyTorch in inference mode: eager and compiled, channels last, with and without
bfloat16 autocast. All take turns on batches of one size; a compiled PyTorch that fails is left out
with its reason. ``python -m benchmarks.embed idle`` embeds images from a folder and adds up the
time between the end of one step on the device and the start of the next. Each call replaces its own
rows of ``results/embed.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np

from benchmarks.measuring.timing import RESULTS, interleaved, report
from benchmarks.measuring.torch_models import build
from mgm_jax.embeddings import EmbeddingStore, ViewPlan, batches, embed, manifest_for
from mgm_jax.encoders import Encoder, load_encoder
from mgm_jax.images.settings import SETTINGS
from mgm_jax.images.sources.open_source import open_source

MODELS = ("conv4", "resnet50", "vit_s16", "vit_b16")


def ours(name: str, dtype: Any, images: np.ndarray) -> Callable[[], object]:
    """One pass of our encoder over views that lie on the device."""
    encoder = load_encoder(f"{name}:seed=0").with_dtype(dtype)
    views = jax.numpy.asarray(images)
    return lambda: jax.block_until_ready(encoder.features(views))


def torch_calls(name: str, images: np.ndarray) -> tuple[dict[str, Callable[[], object]], list[str]]:
    """PyTorch in each configuration that runs here, and why others do not."""
    import torch

    pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    pixels = pixels.to(memory_format=torch.channels_last)
    model = build(name).eval().to(memory_format=torch.channels_last)
    calls, failed = {}, []
    for dtype in ("float32", "bfloat16"):
        for way in ("eager", "compiled"):

            def call(network: Any, low: bool = dtype == "bfloat16") -> object:
                with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=low):
                    return network(pixels)

            torch._dynamo.reset()
            network = torch.compile(model) if way == "compiled" else model
            try:
                call(network)
            except Exception as error:  # whatever a compiler may raise
                failed.append(f"{dtype} {way}: {type(error).__name__}")
                continue
            calls[f"torch {dtype} {way}"] = lambda network=network, call=call: call(network)
    return calls, failed


def race(name: str, options: argparse.Namespace) -> list[dict[str, object]]:
    """Images a second of one model; a row a contestant."""
    side = load_encoder(f"{name}:seed=0").preprocess.size
    images = np.random.default_rng(0).random((options.batch, side, side, 3), np.float32)
    calls = {f"ours {dtype}": ours(name, dtype, images) for dtype in ("float32", "bfloat16")}
    theirs, failed = torch_calls(name, images)
    for reason in failed:
        print(f"left out: {reason}")
    seconds = interleaved(calls | theirs, turns=options.turns)
    best = {
        dtype: min(value for who, value in seconds.items() if who.startswith(f"torch {dtype}"))
        for dtype in ("float32", "bfloat16")
    }
    return [
        {
            "model": name,
            "who": who,
            "batch": options.batch,
            "images/s": options.batch / value,
            "times best torch float32": best["float32"] / value,
            "times best torch bfloat16": best["bfloat16"] / value,
            "times our float32": seconds["ours float32"] / value,
        }
        for who, value in seconds.items()
    ]


class Busy:
    """When the device began and ended each step, told by a thread that waits for it."""

    def __init__(self) -> None:
        self.begun: list[float] = []
        self.ended: list[float] = []
        self._threads: list[threading.Thread] = []

    def begin(self) -> None:
        """The host hands a step to the device."""
        self.begun.append(time.perf_counter())

    def end(self, result: object) -> None:
        """``result`` is what the step will have made."""
        index = len(self.ended)
        self.ended.append(0.0)

        def wait() -> None:
            jax.block_until_ready(result)
            self.ended[index] = time.perf_counter()

        self._threads.append(threading.Thread(target=wait))
        self._threads[-1].start()

    def idle(self) -> tuple[float, float]:
        """Seconds without work between the first step and the last, and seconds in all."""
        for thread in self._threads:
            thread.join()
        pairs = zip(self.ended[:-1], self.begun[1:], strict=True)
        waited = sum(max(0.0, begun - ended) for ended, begun in pairs)
        return waited, self.ended[-1] - self.begun[0]


def idle(name: str, options: argparse.Namespace) -> dict[str, object]:
    """Embed views of a folder of images and see how long the device waits for them."""
    encoder = load_encoder(f"{name}:seed=0")
    if options.data is None:
        raise SystemExit("give --data DIR, or set MGM_JAX_DATA: docs/data.md says what lies there")
    source = open_source(Path(options.data) / "images" / "caltech101_20x80")
    plan = ViewPlan(
        indices=range(min(options.images, len(source))),
        setting=SETTINGS[options.setting],
        views=options.views,
    )
    # Once beforehand, so that nothing is compiled while the clock runs.
    few = ViewPlan(
        indices=plan.indices[: plan.chunk_images], setting=plan.setting, views=plan.views
    )
    busy = Busy()
    make, features = batches.make_views, Encoder.features

    def make_views(*arguments: Any, **more: Any) -> jax.Array:
        busy.begin()
        return make(*arguments, **more)

    def features_of(*arguments: Any, **more: Any) -> dict[str, jax.Array]:
        outputs = features(*arguments, **more)
        busy.end(outputs)
        return outputs

    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddingStore.open(f"{folder}/few", manifest_for(encoder, source, few))
        embed([encoder], source, few, [store])
        store = EmbeddingStore.open(f"{folder}/all", manifest_for(encoder, source, plan))
        with (
            mock.patch.object(batches, "make_views", make_views),
            mock.patch.object(Encoder, "features", features_of),
        ):
            embed([encoder], source, plan, [store])
    waited, seconds = busy.idle()
    return {
        "model": f"{name}, {options.setting} from a folder",
        "who": "embed",
        "images/s": plan.rows / seconds,
        "share idle": waited / seconds,
    }


def main() -> None:
    """Measure, and put the rows among those of other calls."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=(*MODELS, "idle"))
    parser.add_argument("--data", default=os.environ.get("MGM_JAX_DATA"))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--images", type=int, default=1600)
    parser.add_argument("--views", type=int, default=1)
    parser.add_argument("--setting", default="semantic")
    options = parser.parse_args()
    if options.what == "idle":
        rows = [idle(name, options) for name in ("conv4", "resnet50")]
    else:
        rows = race(options.what, options)
    target = RESULTS / "embed.json"
    kept = json.loads(target.read_text())["rows"] if target.exists() else []
    mine = {row["model"] for row in rows}
    report("embed", [row for row in kept if row["model"] not in mine] + rows)


if __name__ == "__main__":
    main()
