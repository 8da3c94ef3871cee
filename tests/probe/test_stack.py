"""Steps of a stack of regressions, all lanes at once as on accelerators."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.probe.logistic import stack


def _on_accelerators(*arguments: Any, default: Any, cpu: Any) -> Any:
    del cpu
    return default(*arguments)


def test_lanes_at_once_take_the_steps_that_each_takes_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    z = jnp.asarray(rng.normal(size=(64, 9)), jnp.float32).at[:, -1].set(1)
    codes = jnp.asarray(rng.integers(0, 3, 64), jnp.int32)
    ridge = jnp.asarray([[1.0], [0.1], [10.0]]) * jnp.r_[jnp.ones(8), 0]
    # A first step far too long has to be halved, so lanes wait for one another.
    steps = jnp.asarray([1e-3, 3.0, 1e-2], jnp.float32)
    state = stack.begin(jnp.zeros((3, 9, 3), jnp.float32), steps)
    advance = partial(stack._advance, z=z, codes=codes, scale=jnp.ones((3, 9)), ridge=ridge, rank=8)
    alone, waited = [state], []
    step = jax.jit(advance)
    for _ in range(12):
        alone.append(step(alone[-1]))
        waited.append(alone[-1].value == alone[-2].value)
    assert 0 < np.sum(waited) < np.size(waited)
    monkeypatch.setattr(jax.lax, "platform_dependent", _on_accelerators)
    step = jax.jit(lambda state: advance(state))
    for expected in alone[1:]:
        state = step(state)
        np.testing.assert_allclose(state.value, expected.value, rtol=1e-4)
    np.testing.assert_allclose(state.point, alone[-1].point, rtol=1e-3, atol=1e-4)
