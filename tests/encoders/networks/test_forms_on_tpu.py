"""What a network runs on a TPU equals what it runs on a CPU, both run on the CPU."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from mgm_jax.encoders import EncoderSpec, ResNetSpec, SwinSpec, ViTSpec
from mgm_jax.encoders import forward as module
from tests.encoders.oracles import busy_state, encoder_of, relative_error, views_of

SPECS = {
    "ResNet": ResNetSpec(blocks=(2, 1), block="bottleneck", image_size=32),
    "ViT": ViTSpec(image_size=16, patch=8, embed_dim=48, layers=1, heads=3, mlp_dim=96),
    "ViT, no bias": ViTSpec(
        image_size=16, patch=8, embed_dim=48, layers=1, heads=3, mlp_dim=96, qkv_bias=False
    ),
    "Swin": SwinSpec(image_size=32, embed_dim=24, blocks=(2,), heads=(3,), window=4),
}


def _as_on_tpu(*arguments: Any, default: Any, tpu: Any = None, **others: Any) -> Any:
    del others
    return (tpu or default)(*arguments)


@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
def test_equals_that_on_a_cpu(spec: EncoderSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, views = encoder_of(spec, busy_state(spec)), views_of(spec, count=3)
    # One that is not finite leaves the others as they are.
    views[1, 0, 0, 0] = np.nan
    expected = encoder.activations(views, taps=spec.taps)
    monkeypatch.setattr(jax.lax, "platform_dependent", _as_on_tpu)
    # Three images in two parts.
    monkeypatch.setattr(module, "_AT_ONCE_ON_TPU", 2)
    monkeypatch.setattr(module, "_TOKENS_AT_ONCE_ON_TPU", 2)
    compiled: Any = module.forward
    again = jax.jit(compiled.__wrapped__, static_argnames=("spec", "taps", "dtype", "pooled"))
    monkeypatch.setattr("mgm_jax.encoders.encoder.forward", again)
    found = encoder.activations(views, taps=spec.taps)
    assert found.keys() == expected.keys()
    for tap in expected:
        both = np.asarray(found[tap]), np.asarray(expected[tap])
        assert relative_error(both[0][::2], both[1][::2]) < 1e-5, tap
        assert np.isnan(both[0][1]).any() and np.isnan(both[1][1]).any(), tap
