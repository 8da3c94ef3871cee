"""One run: a method, a backbone and the recipe; written after every epoch, resumed where it was."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import serialization

from benchmarks.measuring import timing
from benchmarks.zoo.images import Images, epoch_order, two_views
from benchmarks.zoo.methods import METHODS, Batch, Method
from benchmarks.zoo.names import RunName
from benchmarks.zoo.networks.backbones import BACKBONES, PIXELS
from benchmarks.zoo.recipe import Recipe
from benchmarks.zoo.watch import K, features_of, of_backbone, watch
from benchmarks.zoo.weights import write_weights
from mgm_jax.errors import InputError
from mgm_jax.files.whole import whole_file
from mgm_jax.progress import progress
from mgm_jax.training.monitor import Monitor


class Learner(NamedTuple):
    """All that a step changes.

    Attributes:
        params: weights of the network, heads included.
        batch_stats: running statistics of BatchNorm.
        memory: what the method remembers.
        optimiser: state of AdamW.
        step: steps taken.
    """

    params: Any
    batch_stats: Any
    memory: Any
    optimiser: Any
    step: jax.Array


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is trained, on what, and where it is written.

    Attributes:
        method: name in ``METHODS``.
        backbone: name in ``BACKBONES``.
        recipe: the same for all.
        folder: of this run: ``recipe.json``, ``log.jsonl``, ``geometry.csv``, one weights file an
            epoch, and the state after the last one.
    """

    method: str
    backbone: str
    recipe: Recipe
    folder: Path

    @property
    def name(self) -> str:
        """Method, backbone and seed."""
        return str(self._named())

    def state(self, epoch: int) -> Path:
        """File of all that the next epoch starts from."""
        return self.folder / f"state-e{epoch:02d}.msgpack"

    def weights(self, epoch: int) -> Path:
        """File of the encoder after an epoch; 0 is before the first step."""
        return self.folder / f"{self._named(epoch)}.safetensors"

    def _named(self, epoch: int | None = None) -> RunName:
        return RunName(
            method=self.method, backbone=self.backbone, seed=self.recipe.seed, epoch=epoch
        )


def train(run: Run, images: Images, unseen: Images) -> list[dict[str, Any]]:
    """Train, or go on with a run that was cut off; at most one epoch is done again.

    Args:
        run: what and where.
        images: to train on.
        unseen: images of other classes, to watch on.

    Returns:
        The log, one entry an epoch from 0 (before the first step).

    Raises:
        InputError: fewer images than a batch, a method that cannot train this backbone, or a
            folder of a run with another recipe.
    """
    recipe, method, backbone = run.recipe, METHODS[run.method], BACKBONES[run.backbone]()
    if len(images) < recipe.batch:
        raise InputError(f"batch: {recipe.batch} is more than the {len(images)} images")
    _claim(run)
    network = method.network(backbone)
    optimiser = recipe.optimiser(len(images))
    learner = start(method, network, optimiser, seed=recipe.seed)
    log = _read_log(run)
    monitor = Monitor(labels=unseen.labels, folder=run.folder, k=min(K, len(unseen) - 1))
    if log:
        learner = serialization.from_bytes(learner, run.state(len(log) - 1).read_bytes())
    else:
        log = [
            _finish_epoch(
                run, learner, backbone, images, unseen, monitor, epoch=0, log=[], minutes=0.0
            )
        ]
    if not method.trains:
        return log
    step = make_step(method, network, optimiser, recipe, images=len(images))
    steps = recipe.steps_per_epoch(len(images))
    done = len(log) - 1
    with progress(run.name, total=steps * (recipe.epochs - done), unit="step") as bar:
        for epoch in range(done, recipe.epochs):
            began, losses = time.monotonic(), []
            order = epoch_order(len(images), seed=recipe.seed, epoch=epoch)
            for rows in order[: steps * recipe.batch].reshape(steps, recipe.batch):
                views = two_views(images, rows, policy=recipe.policy, seed=recipe.seed, epoch=epoch)
                learner, loss = step(learner, Batch(views, jnp.asarray(images.labels[rows])))
                losses.append(loss)
                bar.advance()
            mean = float(np.mean(jax.device_get(losses)))
            if not np.isfinite(mean):
                raise InputError(
                    f"{run.name}: the loss of epoch {epoch + 1} is {mean}; lower the rate"
                )
            log.append(
                _finish_epoch(
                    run,
                    learner,
                    backbone,
                    images,
                    unseen,
                    monitor,
                    epoch=epoch + 1,
                    log=log,
                    minutes=(time.monotonic() - began) / 60.0,
                    loss=mean,
                )
            )
    return log


def start(
    method: Method, network: nn.Module, optimiser: optax.GradientTransformation, *, seed: int
) -> Learner:
    """A learner before its first step; backbones of one seed start alike, whatever the method."""
    init = jax.jit(partial(network.init, train=False))
    variables = dict(init(jax.random.key(seed), jnp.zeros((2, PIXELS, PIXELS, 3))))
    variables.setdefault("batch_stats", {})
    return Learner(
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        memory=method.start(variables, jax.random.fold_in(jax.random.key(seed), 1)),
        optimiser=optimiser.init(variables["params"]),
        step=jnp.zeros((), jnp.int32),
    )


def make_step(
    method: Method,
    network: nn.Module,
    optimiser: optax.GradientTransformation,
    recipe: Recipe,
    *,
    images: int,
) -> Callable[[Learner, Batch], tuple[Learner, jax.Array]]:
    """The compiled step of a run: a learner and a batch to the next learner and the loss."""
    total = recipe.epochs * recipe.steps_per_epoch(images)

    @jax.jit(donate_argnums=0)
    def step(learner: Learner, batch: Batch) -> tuple[Learner, jax.Array]:
        key = jax.random.fold_in(jax.random.key(recipe.seed + 1), learner.step)

        def loss(params: Any) -> tuple[jax.Array, Any]:
            variables = {"params": params, "batch_stats": learner.batch_stats}
            outcome = method.loss(network, variables, learner.memory, batch, key)
            return outcome.loss, outcome

        slopes, outcome = jax.grad(loss, has_aux=True)(learner.params)
        updates, state = optimiser.update(slopes, learner.optimiser, learner.params)
        params = optax.apply_updates(learner.params, updates)
        memory = method.remember(
            {"params": params, "batch_stats": outcome.stats},
            outcome.memory,
            recipe.momentum_at(learner.step / total),
        )
        return Learner(params, outcome.stats, memory, state, learner.step + 1), outcome.loss

    return step


def _finish_epoch(
    run: Run,
    learner: Learner,
    backbone: Any,
    images: Images,
    unseen: Images,
    monitor: Monitor,
    *,
    epoch: int,
    log: list[dict[str, Any]],
    minutes: float,
    loss: float | None = None,
) -> dict[str, Any]:
    """Watch the encoder and write it; the log comes last, so that it speaks of what is there."""
    variables = of_backbone({"params": learner.params, "batch_stats": learner.batch_stats})
    features = features_of(backbone, variables, unseen)
    seen = asdict(watch(features, unseen.labels))
    # Its warnings say in words what collapses; its history is geometry.csv.
    monitor.log(epoch, features)
    total = sum(entry["minutes"] for entry in log) + minutes
    entry = {"epoch": epoch, "loss": loss, "minutes": round(minutes, 2), **seen}
    method = METHODS[run.method]
    write_weights(
        run.weights(epoch),
        variables,
        backbone,
        method=method.name if epoch else "Untrained",
        paradigm=method.paradigm if epoch else "untrained",
        training={
            **run.recipe.to_dict(),
            **hardware(),
            "epochs": epoch,
            "epochs_planned": run.recipe.epochs,
            "images_seen": epoch * run.recipe.batch * run.recipe.steps_per_epoch(len(images)),
            "minutes": round(total, 1),
            "knn": {unseen.name: seen["knn_accuracy"]},
        },
    )
    with whole_file(run.state(epoch)) as part:
        part.write_bytes(serialization.to_bytes(learner))
    with whole_file(run.folder / "log.jsonl") as part:
        part.write_text("".join(json.dumps(one) + "\n" for one in [*log, entry]))
    # Only now is the state before this one of no more use.
    run.state(epoch - 1).unlink(missing_ok=True)
    return entry


def _claim(run: Run) -> None:
    """Take a folder for a run; refuse one of another recipe."""
    run.folder.mkdir(parents=True, exist_ok=True)
    file, said = run.folder / "recipe.json", run.recipe.to_dict()
    # What a file does not say is from before there was a choice.
    if file.is_file() and Recipe().to_dict() | json.loads(file.read_text()) != said:
        raise InputError(f"{run.folder} holds a run with another recipe; take another folder")
    with whole_file(file) as part:
        part.write_text(json.dumps(said))


def _read_log(run: Run) -> list[dict[str, Any]]:
    file = run.folder / "log.jsonl"
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text().splitlines()]


def hardware() -> dict[str, str]:
    """What a run is made with: CPU or accelerator, JAX, and the commit of this code."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        check=False,
    )
    made_on: dict[str, Any] = timing.hardware()
    device = made_on["devices"][0]
    return {
        "hardware": f"{made_on['processor']}, cores: {made_on['cores']}"
        if device == "cpu"
        else device,
        "jax": jax.__version__,
        "commit": told.stdout.strip() or "unknown",
        "date": made_on["date"],
    }
