"""What is guessed of a training is marked, and weights before any training are no guess."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from mgm_converters.recognition.evidence.guesses import never_trained
from mgm_jax.encoders.catalogue.methods import known_paradigm
from mgm_jax.sweep.output.origins import encoder_origins


def test_norms_tell_a_network_before_its_first_step() -> None:
    state = {
        "conv1.weight": np.random.default_rng(0).normal(size=(8, 3, 3, 3)),
        "bn1.weight": np.ones(8, np.float32),
        "bn1.bias": np.zeros(8, np.float32),
        # The last norm of a residual branch may start at zero.
        "layer1.0.bn1.weight": np.zeros(8, np.float32),
    }
    assert never_trained(state)
    state["layer1.0.bn1.weight"] = state["layer1.0.bn1.weight"] + np.float32(1e-3)
    assert not never_trained(state)
    assert not never_trained({"conv.weight": np.ones((3, 3, 1, 1))})


def test_a_guess_is_marked_and_a_statement_is_not() -> None:
    assert known_paradigm({"paradigm": "supervised", "guessed": True}) == "supervised (guessed)"
    assert known_paradigm({"paradigm": "supervised", "guessed": False}) == "supervised"
    assert known_paradigm({"paradigm": "untrained"}) == "untrained"
    assert known_paradigm({"guessed": True}) == "unknown"


def test_what_a_study_states_is_no_guess_even_where_it_is_the_same():
    meta = {"paradigm": "supervised", "guessed": True, "conversion": {"guessed": True}}
    encoder = SimpleNamespace(meta=meta)
    for paradigm, guessed in ((known_paradigm(meta), True), ("supervised", False), ("x", False)):
        subject = SimpleNamespace(
            name="net", architecture="resnet", paradigm=paradigm, seed=None, encoder=encoder
        )
        assert [one["guessed"] for one in encoder_origins([subject])] == [guessed], paradigm
