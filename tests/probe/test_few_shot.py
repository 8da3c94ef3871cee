"""Few-shot episodes against scikit-learn's nearest centroid, and their interval."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid

from mgm_jax.errors import InputError
from mgm_jax.probe.few_shot import _draw, few_shot_probe


def blobs(n: int = 300, d: int = 10, *, apart: float = 1.0):
    """Six classes, far from the origin."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 6, n)
    return (rng.normal(size=(6, d))[labels] * apart + rng.normal(size=(n, d)) + 30), labels


@pytest.mark.slow
@pytest.mark.parametrize(("way", "shot"), [(5, 5), (3, 1), (6, 20)])
def test_every_episode_is_a_nearest_centroid_classifier(way: int, shot: int) -> None:
    x, labels = blobs()
    x = x.astype(np.float32).astype(np.float64)
    result = few_shot_probe(x, labels, way=way, shot=shot, queries=7, episodes=20, seed=3)
    members = [np.flatnonzero(labels == c) for c in range(6)]
    rows = _draw(members, way=way, take=shot + 7, episodes=20, seed=3)
    for episode, accuracy in zip(rows, result.accuracies, strict=True):
        assert len(np.unique(episode)) == episode.size
        support, asked = episode[:, :shot].ravel(), episode[:, shot:].ravel()
        model = NearestCentroid().fit(x[support], labels[support])
        assert accuracy == pytest.approx(model.score(x[asked], labels[asked]))
    half = 1.959964 * result.accuracies.std(ddof=1) / np.sqrt(20)
    assert result.high - result.accuracy == pytest.approx(half, rel=1e-6)
    assert f"{way}-way {shot}-shot" in repr(result) and len(result.to_pandas()) == 20


def test_episodes_draw_all_large_classes_and_no_other() -> None:
    members = [np.arange(0, 20), np.arange(20, 40), np.arange(40, 60)]
    rows = _draw(members, way=2, take=20, episodes=60, seed=0)
    drawn = {tuple(sorted(one)) for one in (rows[:, :, 0] // 20).tolist()}
    assert drawn == {(0, 1), (0, 2), (1, 2)}


def test_chance_and_certainty() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(400) % 8
    noise = few_shot_probe(rng.normal(size=(400, 4)), labels, episodes=200)
    # Fourteen standard errors of 0.007 would still be within.
    assert noise.accuracy == pytest.approx(0.2, abs=0.1)
    assert few_shot_probe(np.eye(8)[labels], labels, episodes=5).accuracy == 1.0


def test_too_few_images_are_refused_with_the_numbers() -> None:
    x, labels = blobs(60)
    with pytest.raises(InputError, match="65 rows or more, 50 shots and 15"):
        few_shot_probe(x, labels, shot=50)
    with pytest.raises(InputError, match="at least 2"):
        few_shot_probe(x, labels, way=1)
