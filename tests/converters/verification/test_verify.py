"""The comparison notices what a wrong conversion would change, at the tap where it starts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mgm_converters.verification.verify import TapCheck, relative_error, verify
from mgm_jax.encoders import CifarResNetSpec, Encoder, Preprocess, random_state

pytest.importorskip("torch")

SPEC = CifarResNetSpec(blocks=1, channels=4, image_size=16)
INPUT = Preprocess(size=16, resize=16, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
STATE = random_state(SPEC, seed=0)
ENCODER = Encoder.from_state(STATE, name="small", spec=SPEC, preprocess=INPUT)


def test_equal_networks_pass_at_every_tap():
    checks = verify(ENCODER, STATE)
    assert [check.tap for check in checks] == list(ENCODER.taps)
    assert all(check.passed and check.error < 1e-5 for check in checks)
    assert checks[0].shape == (16, 16, 4) and checks[-1].shape == (16,)


def test_a_changed_weight_fails_from_its_layer_on():
    changed = STATE | {"layer2.0.conv1.weight": STATE["layer2.0.conv1.weight"] * 1.01}
    failed = {check.tap for check in verify(ENCODER, changed) if not check.passed}
    assert failed == {"layer2.0", "layer3.0", "pool"}


def test_another_epsilon_fails_at_the_first_layer():
    encoder = replace(ENCODER, spec=replace(SPEC, batch_norm_eps=1e-2))
    checks = verify(encoder, STATE)
    assert not checks[0].passed


def test_relative_error():
    reference = np.array([1.0, -4.0])
    assert relative_error(reference, reference) == 0.0
    assert relative_error(reference + np.array([0.0, 1.0]), reference) == 0.25
    assert relative_error(np.ones(3), reference) == float("inf")
    assert relative_error(np.full(2, 0.5), np.zeros(2)) == 0.5


@pytest.mark.parametrize(("error", "passed"), [(1e-5, True), (2e-4, False), (float("nan"), False)])
def test_nan_never_passes(error, passed):
    assert TapCheck(tap="stem", shape=(1,), error=error).passed is passed
