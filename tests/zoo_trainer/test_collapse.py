"""A method that loses its safeguard collapses, and with it does not."""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from benchmarks.zoo.methods import METHODS, Batch, Method
from benchmarks.zoo.methods.method import both
from benchmarks.zoo.methods.simsiam import SimSiam
from benchmarks.zoo.networks.heads import MLP, Headed, Outputs, unit
from benchmarks.zoo.recipe import Recipe
from benchmarks.zoo.train import Learner, make_step
from mgm_jax.geometry.cloud.spectrum import rankme
from tests.zoo_trainer.conftest import Tiny

STEPS = 150


def trained(method: Method, batch: Batch) -> Outputs:
    """What a network gives for first views after training on one batch."""
    network = method.network(Tiny())
    variables = dict(network.init(jax.random.key(0), batch.views[0], train=False))
    variables.setdefault("batch_stats", {})
    optimiser = optax.adam(3e-3)
    learner = Learner(
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        memory=method.start(variables, jax.random.key(1)),
        optimiser=optimiser.init(variables["params"]),
        step=np.int32(0),
    )
    recipe = Recipe(epochs=STEPS, batch=batch.views.shape[1], momentum=0.9)
    step = make_step(method, network, optimiser, recipe, images=batch.views.shape[1])
    for _ in range(STEPS):
        learner, _ = step(learner, batch)
    outputs = network.apply(
        {"params": learner.params, "batch_stats": learner.batch_stats},
        both(batch.views),
        train=True,
        mutable=["batch_stats"],
    )[0]
    return jax.tree.map(lambda a: np.asarray(a[: batch.views.shape[1]]), outputs)


def spread(outputs: Outputs) -> float:
    """Deviation of unit vectors; 0 where all are one, 1 where they have no common direction."""
    z = np.asarray(unit(outputs.projection))
    return float(np.sqrt(z.var(axis=0).sum()))


def informed(outputs: Outputs) -> float:
    """Information that the scores carry on the image, in nats: 0 where they are always the same."""
    log = jax.nn.log_softmax(outputs.prediction / 0.1, axis=1)
    share = np.exp(log)
    mean = share.mean(axis=0)
    return float((share * (log - np.log(mean + 1e-12))).sum(axis=1).mean())


@dataclass(frozen=True, kw_only=True)
class PlainSimSiam(SimSiam):
    """SimSiam without the BatchNorm on its projections, which would hide that they are one."""

    def network(self, backbone: nn.Module) -> nn.Module:
        return Headed(backbone=backbone, projector=MLP(), predictor=MLP(hidden=32))


CASES = {
    # Both sides follow the gradient to one point.
    "simsiam": ({"stop": False}, spread),
    # A teacher that is centred and not sharp is uniform.
    "dino": ({"teacher_temperature": 1.0}, informed),
    # Invariance alone is best served by a constant.
    "vicreg": ({"variance": 0.0}, lambda out: float(out.projection.std(axis=0).mean())),
    # One feature, repeated, correlates with itself perfectly.
    "barlow_twins": (
        {"redundancy": 0.0},
        lambda out: rankme(out.projection - out.projection.mean(axis=0)) - 1.0,
    ),
    # All images in one cluster foretell each other.
    "swav": ({"even": False}, informed),
}


@pytest.mark.parametrize("name", CASES)
def test_without_its_safeguard_a_method_collapses(name: str, batch: Batch) -> None:
    without, measure = CASES[name]
    method = METHODS[name]
    if name == "simsiam":
        method = PlainSimSiam()
    if name in ("simsiam", "swav"):
        # Views that share nothing: they agree only where all images do.
        views = np.random.default_rng(1).normal(size=batch.views.shape)
        batch = batch._replace(views=jnp.asarray(views, jnp.float32))
    kept = measure(trained(method, batch))
    lost = measure(trained(replace(method, **without), batch))
    assert kept > 0.3
    assert lost < 0.3 * kept
