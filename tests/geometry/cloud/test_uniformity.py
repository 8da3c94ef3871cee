"""Uniformity against all pairs at once in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.errors import InputError
from mgm_jax.geometry.cloud import uniformity as module
from mgm_jax.geometry.cloud.uniformity import uniformity


def plain(x: np.ndarray, t: float) -> float:
    unit = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    squared = ((unit[:, None] - unit[None]) ** 2).sum(axis=2)
    return float(np.log(np.exp(-t * squared)[np.triu_indices(len(x), 1)].mean()))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), t=st.sampled_from([0.5, 2.0, 8.0]))
def test_all_pairs_count_once(seed: int, t: float) -> None:
    x = np.random.default_rng(seed).standard_normal((31, 5)).astype(np.float32)
    assert uniformity(x, t=t) == pytest.approx(plain(x, t), abs=1e-5)


def test_tiles_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).standard_normal((50, 4))
    whole = uniformity(x)
    monkeypatch.setattr(module, "_TILE", 16)
    assert uniformity(x) == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (np.eye(3)[:1], {}, "at least 2 rows"),
        (np.eye(3), {"t": -1}, "t must be above 0"),
        (0 * np.eye(3), {}, "only zeros"),
    ],
)
def test_unusable_input_is_described(x: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        uniformity(x, **options)
