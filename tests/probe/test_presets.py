"""Published protocols: what they fix, and that they run as the functions they stand for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mgm_jax.errors import InputError
from mgm_jax.probe.few_shot import few_shot_probe
from mgm_jax.probe.linear import linear_probe
from mgm_jax.probe.presets import PROTOCOLS, FewShotProtocol, LinearProtocol, find_protocol


def blobs(n: int, *, seed: int = 0):
    """Six overlapping classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 6
    return np.eye(6)[labels] + rng.normal(size=(n, 6)), labels


def test_the_linear_protocol_scores_by_data_set() -> None:
    protocol = find_protocol("ericsson2021/linear")
    assert isinstance(protocol, LinearProtocol) and protocol.strengths == 45
    assert protocol.measure("voc2007") == "map11" and hash(protocol)
    few = dataclasses.replace(protocol, strengths=3)
    sets = blobs(120), None, blobs(60, seed=1)
    pets = few.run(*sets, dataset="pets")
    assert pets.measure == "mean_per_class" and few.run(*sets, dataset="dtd").measure == "top1"
    expected = linear_probe(*sets, strengths=3, measure="mean_per_class")
    assert pets.score == expected.score and pets.strength == expected.strength


def test_the_few_shot_protocol_gives_a_result_a_shot() -> None:
    protocol = find_protocol("ericsson2021/few-shot")
    assert isinstance(protocol, FewShotProtocol)
    assert (protocol.way, protocol.queries, protocol.episodes) == (5, 15, 600)
    x, labels = blobs(400)
    found = dataclasses.replace(protocol, episodes=20).run(x, labels, seed=2)
    assert list(found) == [5, 20, 50]
    for shot, result in found.items():
        expected = few_shot_probe(x, labels, shot=shot, episodes=20, seed=2)
        assert result.accuracy == expected.accuracy


def test_protocols_are_frozen_and_known_by_name() -> None:
    with pytest.raises(TypeError):
        PROTOCOLS["mine"] = None  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        find_protocol("ericsson2021/linear").level = 0.5  # type: ignore[misc]
    with pytest.raises(InputError, match="ericsson2021/linear"):
        find_protocol("ericsson2022")
