"""Uniformity of shards against all pairs at once."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.errors import InputError
from mgm_jax.geometry.cloud import uniformity as module
from mgm_jax.geometry.cloud.uniformity import potential_between, potential_within, uniformity


def plain(x: np.ndarray, t: float) -> float:
    unit = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    squared = ((unit[:, None] - unit[None]) ** 2).sum(axis=2)
    return float(np.log(np.exp(-t * squared)[np.triu_indices(len(x), 1)].mean()))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), t=st.sampled_from([0.5, 2.0, 8.0]))
def test_shards_and_pairs_of_shards_make_the_whole(seed: int, t: float) -> None:
    x = np.random.default_rng(seed).standard_normal((31, 5)).astype(np.float32)
    shards = np.split(x, [1, 9, 20])
    parts = [potential_within(shard, t=t) for shard in shards]
    parts += [potential_between(one, two, t=t) for one, two in combinations(shards, 2)]
    whole = parts[0]
    for part in parts[1:]:
        whole = part.merge(whole)
    assert whole.pairs == 31 * 30 // 2
    assert whole.uniformity == pytest.approx(plain(x, t), abs=1e-5)
    assert uniformity(x, t=t) == pytest.approx(plain(x, t), abs=1e-5)


def test_tiles_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 4)), rng.standard_normal((21, 4))
    within, between = potential_within(x).total, potential_between(x, y).total
    monkeypatch.setattr(module, "_TILE", 16)
    assert potential_within(x).total == pytest.approx(within, rel=1e-6)
    assert potential_between(x, y).total == pytest.approx(between, rel=1e-6)


def test_a_single_point_has_no_pairs() -> None:
    alone = potential_within(np.ones((1, 3)))
    assert alone.pairs == 0 and np.isnan(alone.uniformity)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: potential_within(x[:0]), "at least one row"),
        (lambda x: potential_between(x, x[:2, :2]), "as many columns as x, 3; got 2"),
        (lambda x: potential_within(x, t=-1), "t must be above 0"),
        (lambda x: potential_within(x).merge(potential_within(x, t=1)), "sharpness t = 2.0"),
        (lambda x: potential_within(0 * x), "only zeros"),
    ],
)
def test_unusable_input_is_described(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(np.eye(3))
