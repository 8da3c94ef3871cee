"""What defines each method besides the value of its loss: who learns, who follows, who is kept."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.zoo.methods import METHODS, Batch, Method, Outcome
from benchmarks.zoo.methods.mae import MAE
from benchmarks.zoo.methods.moco import MoCo
from benchmarks.zoo.methods.simsiam import SimSiam
from benchmarks.zoo.methods.swav import SwAV
from benchmarks.zoo.networks.backbones import ViT
from benchmarks.zoo.networks.heads import unit
from tests.zoo_trainer.conftest import Tiny

KEY = jax.random.key(3)


def outcome_of(method: Method, network: Any, variables: Any, memory: Any, batch: Batch) -> Outcome:
    """The method's outcome, compiled once and not operation by operation."""

    @jax.jit
    def run(variables: Any, memory: Any, batch: Batch) -> Outcome:
        return method.loss(network, variables, memory, batch, KEY)

    return run(variables, memory, batch)


def started(method: Method, batch: Batch) -> tuple[Any, dict[str, Any], Any]:
    network = method.network(Tiny())
    variables = dict(jax.jit(partial(network.init, train=False))(jax.random.key(0), batch.views[0]))
    variables.setdefault("batch_stats", {})
    return network, variables, method.start(variables, jax.random.key(1))


@pytest.mark.parametrize("name", ["moco", "byol", "dino"])
def test_no_gradient_reaches_the_running_mean(name: str, batch: Batch) -> None:
    method = METHODS[name]
    network, variables, memory = started(method, batch)

    def loss(params: Any, target: Any) -> jax.Array:
        kept = {**memory, "target": {**memory["target"], "params": target}}
        return method.loss(network, variables | {"params": params}, kept, batch, KEY).loss

    to_learner, to_target = jax.jit(jax.grad(loss, argnums=(0, 1)))(
        variables["params"], memory["target"]["params"]
    )
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(to_target))
    assert np.any(to_learner["backbone"]["first"]["kernel"])


@pytest.mark.parametrize("name", ["moco", "byol", "dino"])
def test_target_is_a_running_mean_of_weights_and_statistics(name: str, batch: Batch) -> None:
    method = METHODS[name]
    _, variables, memory = started(method, batch)
    moved = jax.tree.map(lambda a: a + 1.0, variables)
    after = method.remember(moved, memory, jnp.asarray(0.75))
    for old, new in zip(jax.tree.leaves(variables), jax.tree.leaves(after["target"]), strict=True):
        np.testing.assert_allclose(new, old + 0.25, rtol=1e-6, atol=1e-6)


def test_byol_loss_is_the_distance_of_unit_vectors(batch: Batch) -> None:
    method = METHODS["byol"]
    network, variables, memory = started(method, batch)
    online = network.apply(
        variables, jnp.concatenate(batch.views), train=True, mutable=["batch_stats"]
    )[0]
    p = np.float64(unit(online.prediction))
    target = network.apply(
        memory["target"], jnp.concatenate(batch.views), train=True, mutable=["batch_stats"]
    )[0]
    z = np.float64(unit(target.projection))
    n = len(p) // 2
    expected = np.mean(np.sum((p - np.roll(z, n, axis=0)) ** 2, axis=1)) * 2
    outcome = outcome_of(method, network, variables, memory, batch)
    assert float(outcome.loss) == pytest.approx(expected, rel=1e-4)


def test_simsiam_stops_the_gradient_at_the_other_view(batch: Batch) -> None:
    method = SimSiam()
    network, variables, memory = started(method, batch)

    def slope(one: Method) -> np.ndarray:
        def loss(params: Any) -> jax.Array:
            return one.loss(network, variables | {"params": params}, memory, batch, KEY).loss

        slopes = jax.jit(jax.grad(loss))(variables["params"])
        return np.asarray(slopes["projector"]["Dense_1"]["kernel"])

    def by_hand(params: Any) -> jax.Array:
        # The same loss with the other view as plain numbers.
        images = jnp.concatenate(batch.views)
        out = network.apply(
            variables | {"params": params}, images, train=True, mutable=["batch_stats"]
        )[0]
        cosines = jnp.sum(unit(out.prediction) * jnp.roll(told, len(told) // 2, axis=0), axis=1)
        return -jnp.mean(cosines)

    images = jnp.concatenate(batch.views)
    told = unit(network.apply(variables, images, train=True, mutable=["batch_stats"])[0].projection)
    expected = jax.jit(jax.grad(by_hand))(variables["params"])["projector"]["Dense_1"]["kernel"]
    np.testing.assert_allclose(slope(method), expected, rtol=1e-3, atol=1e-6)
    assert np.abs(slope(replace(method, stop=False)) - expected).max() > 1e-4


def test_moco_queue_holds_the_latest_keys(batch: Batch) -> None:
    n = 2 * batch.views.shape[1]
    method = MoCo(queue=2 * n)
    network, variables, memory = started(method, batch)
    first = outcome_of(method, network, variables, memory, batch).memory["queue"]
    keys = unit(
        network.apply(memory["target"], jnp.concatenate(batch.views), train=False).projection
    )
    np.testing.assert_allclose(first[:n], keys, atol=1e-6)
    np.testing.assert_array_equal(first[n:], memory["queue"][:n])


def test_dino_centre_is_a_running_mean_of_the_teacher(batch: Batch) -> None:
    method = METHODS["dino"]
    network, variables, memory = started(method, batch)
    images = jnp.concatenate(batch.views)
    teacher = network.apply(memory["target"], images, train=True, mutable=["batch_stats"])[
        0
    ].prediction
    after = outcome_of(method, network, variables, memory, batch).memory
    np.testing.assert_allclose(after["centre"], 0.1 * teacher.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("queue", [0, 64])
def test_swav_assigns_a_view_together_with_earlier_projections(queue: int, batch: Batch) -> None:
    method = SwAV(prototypes=12, queue=queue)
    network, variables, memory = started(method, batch)
    outputs = network.apply(
        variables, jnp.concatenate(batch.views), train=True, mutable=["batch_stats"]
    )[0]
    directions = np.float64(variables["params"]["predictor"]["directions"])
    directions /= np.linalg.norm(directions, axis=0)
    n = batch.views.shape[1]
    expected = 0.0
    for told, teller in ((slice(0, n), slice(n, None)), (slice(n, None), slice(0, n))):
        q = np.exp(
            np.concatenate([np.float64(outputs.prediction)[teller], memory["queue"] @ directions])
            / 0.05
        )
        for _ in range(3):
            q /= q.sum(axis=0)
            q /= q.sum(axis=1, keepdims=True)
        logits = np.float64(outputs.prediction)[told] / 0.1
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        expected -= 0.5 * np.mean(np.sum(q[:n] * logs, axis=1))
    outcome = outcome_of(method, network, variables, memory, batch)
    assert float(outcome.loss) == pytest.approx(expected, rel=1e-3)
    latest = np.concatenate([unit(outputs.projection), memory["queue"]])[:queue]
    np.testing.assert_allclose(outcome.memory["queue"], latest, atol=1e-6)


class TestMAE:
    network = MAE().network(ViT(patch=16, width=16, layers=1, heads=2))

    def images(self) -> jax.Array:
        return jnp.asarray(np.random.default_rng(0).normal(size=(3, 64, 64, 3)), jnp.float32)

    def test_what_is_masked_is_not_seen(self) -> None:
        images = self.images()
        variables = jax.jit(partial(self.network.init, train=True))(jax.random.key(0), images)
        order = jnp.broadcast_to(jnp.arange(16)[::-1], (3, 16))
        # The last four patches, the lowest row, are seen; everything above is noise.
        other = images.at[:, :48].set(0.0)
        paint = jax.jit(lambda x: self.network.apply(variables, x, train=True, order=order, seen=4))
        painted = [paint(x) for x in (images, other, images.at[:, 48:].set(0.0))]
        np.testing.assert_array_equal(painted[0], painted[1])
        assert np.abs(painted[0] - painted[2]).max() > 1e-3

    def test_loss_is_taken_on_masked_patches_alone(self) -> None:
        images = self.images()
        init = jax.jit(partial(self.network.init, train=True))
        variables = dict(init(jax.random.key(0), images))
        batch = Batch(jnp.stack([images, images]), jnp.zeros(3, jnp.int32))
        outcome = outcome_of(MAE(), self.network, variables, {}, batch)
        # A decoder whose output is 0 makes the error of a standardised patch (n - 1) / n.
        paint = jax.tree.map(jnp.zeros_like, variables["params"]["paint"])
        silent = {"params": variables["params"] | {"paint": paint}}
        value = float(outcome_of(MAE(), self.network, silent, {}, batch).loss)
        assert value == pytest.approx(767 / 768, rel=1e-4)
        assert float(outcome.loss) != pytest.approx(value, rel=1e-4)

    def test_only_a_vit_can_be_trained(self) -> None:
        with pytest.raises(ValueError, match="only a ViT"):
            MAE().network(Tiny())


@pytest.mark.parametrize("name", ["supervised", "simclr"])
def test_supervised_alone_reads_labels(name: str, batch: Batch) -> None:
    method = METHODS[name]
    network, variables, memory = started(method, batch)
    loss = jax.jit(lambda b: method.loss(network, variables, memory, b, KEY).loss)
    shuffled = batch._replace(labels=jnp.roll(batch.labels, 1))
    assert (float(loss(batch)) != float(loss(shuffled))) == (name == "supervised")
