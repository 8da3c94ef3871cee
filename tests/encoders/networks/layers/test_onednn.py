"""Programs whose bfloat16 goes to oneDNN: what comes out, and what they fall back to."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.encoders import CifarResNetSpec, Conv4Spec, EncoderSpec, ResNetSpec
from mgm_jax.encoders import forward as module
from mgm_jax.encoders.networks.layers import onednn
from tests.encoders.oracles import busy_state, encoder_of, relative_error, views_of

SPECS: dict[str, EncoderSpec] = {
    "Conv4": Conv4Spec(image_size=32),
    "CIFAR": CifarResNetSpec(blocks=1, channels=8),
    "ResNet": ResNetSpec(blocks=(1, 1), block="bottleneck", channels=16, image_size=32),
}


@pytest.mark.parametrize(
    "spec",
    # The newest JAX has it, the one of the oldest Python has not.
    [SPECS["Conv4"], pytest.param(SPECS["CIFAR"], marks=pytest.mark.core), SPECS["ResNet"]],
    ids=list(SPECS),
)
def test_its_forms_give_what_float32_gives(spec: EncoderSpec) -> None:
    encoder, views = encoder_of(spec, busy_state(spec)), jnp.asarray(views_of(spec))
    expected = encoder.features(views, taps=spec.taps)
    run: Any = module.forward
    # oneDNN itself where it is there.
    options = onednn.OPTIONS if onednn.available() else None
    compiled = (
        jax.jit(run.__wrapped__, static_argnames=module._STATIC, compiler_options=options)
        .lower(
            *(encoder.params, views, jnp.zeros(3), jnp.ones(3)),
            **{"spec": spec, "taps": spec.taps, "dtype": "bfloat16", "pooled": True},
            by_onednn=True,
        )
        .compile()
    )
    found = compiled(encoder.params, views, jnp.zeros(3), jnp.ones(3))
    assert ("__onednn$convolution" in str(compiled.as_text())) == onednn.available()
    for tap in spec.taps:
        assert 0 < relative_error(found[tap], expected[tap]) < 2**-5, tap


def test_a_compiler_that_does_not_know_the_options_is_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onednn, "OPTIONS", {"xla_cpu_that_no_release_has": True})
    assert not onednn.available.__wrapped__()


def test_an_encoder_takes_it_where_it_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SPECS["CIFAR"]
    encoder, views = encoder_of(spec, busy_state(spec)), views_of(spec)
    low, taken = encoder.with_dtype("bfloat16"), []

    def with_onednn(*arguments: Any, **options: Any) -> dict[str, jax.Array]:
        taken.append(options["dtype"])
        return module.forward(*arguments, **options)

    monkeypatch.setattr(module, "_forward_by_onednn", with_onednn)
    monkeypatch.setattr(onednn, "available", lambda: True)
    # Inside a program of the caller there are no options; what is kept there serves outside too.
    inside = jax.jit(lambda v: low.features(v)["pool"])(views)
    assert taken == []
    encoder.features(views)
    assert taken == []
    np.testing.assert_allclose(low.features(views)["pool"], inside, rtol=2**-5, atol=2**-5)
    monkeypatch.setattr(onednn, "available", lambda: False)
    low.features(views)
    assert taken == ["bfloat16"]
