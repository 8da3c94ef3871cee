"""Moments of chunks against the moments of the whole in float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.errors import InputError
from mgm_jax.geometry.cloud import moments as module
from mgm_jax.geometry.cloud.moments import Moments, moments_of, moments_of_chunks

N, D = 60, 5


def exact(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scatter in extended precision."""
    wide = x.astype(np.longdouble)
    mean = wide.mean(axis=0)
    return mean, (wide - mean).T @ (wide - mean)


def check(result: Moments, x: np.ndarray, *, slack: float = 1.0) -> None:
    """Within the rounding that the docstring of ``Moments`` promises."""
    mean, scatter = exact(x)
    trace = float(np.trace(scatter))
    spread = np.sqrt(trace / len(x)) or 1.0
    size = 1 + float(np.abs(mean).max()) / spread
    assert result.count == len(x)
    np.testing.assert_allclose(result.mean, mean.astype(float), atol=1e-15 * size * spread * slack)
    np.testing.assert_allclose(result.scatter, scatter.astype(float), atol=1e-15 * size * trace)
    np.testing.assert_array_equal(result.scatter, result.scatter.T)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    cuts=st.lists(st.integers(0, N), max_size=6),
    shift=st.sampled_from([0.0, 1.0, 1e3, 1e6]),
)
def test_chunks_of_any_size_and_order_give_the_same(
    seed: int, cuts: list[int], shift: float
) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((N, D)) + shift).astype(np.float32)
    chunks = np.split(x, sorted(cuts))
    check(moments_of(x), x)
    check(moments_of_chunks(chunks), x, slack=4)
    rng.shuffle(chunks)
    check(moments_of_chunks(chunks), x, slack=4)


def test_a_mean_far_from_zero_costs_no_digits_that_the_points_have() -> None:
    rng = np.random.default_rng(0)
    # 1 part in 2^20 of the mean, on a grid that float32 holds exactly.
    x = (rng.integers(-8, 8, (5000, 8)) / 8 + 2.0**20).astype(np.float32)
    scatter = exact(x)[1].astype(float)
    naive = x.astype(np.float64).T @ x.astype(np.float64)
    naive -= 5000 * np.outer(x.mean(axis=0, dtype=np.float64), x.mean(axis=0, dtype=np.float64))
    assert np.abs(naive - scatter).max() > 1e-4 * np.trace(scatter), "the test is too easy"
    for result in (moments_of(x), moments_of_chunks(np.array_split(x, 7))):
        np.testing.assert_allclose(result.scatter, scatter, atol=1e-11 * np.trace(scatter))


def test_blocks_of_one_chunk_are_chunks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(1).standard_normal((100, D)).astype(np.float32) + 9
    whole = moments_of(x)
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)
    check(moments_of(x), x, slack=4)
    np.testing.assert_allclose(moments_of(jnp.asarray(x)).scatter, whole.scatter, rtol=1e-12)


def test_turning_the_points_turns_the_scatter() -> None:
    rng = np.random.default_rng(2)
    x = (rng.standard_normal((80, D)) * np.arange(1, D + 1)).astype(np.float32)
    # Signed permutations are the rotations that float32 makes without rounding.
    turn = np.eye(D)[rng.permutation(D)] * rng.choice([-1.0, 1.0], D)
    np.testing.assert_allclose(
        moments_of(x @ turn).scatter, turn.T @ moments_of(x).scatter @ turn, atol=1e-12
    )


def test_uncentred_and_covariance_are_those_of_numpy() -> None:
    x = (np.random.default_rng(3).standard_normal((50, D)) + 2).astype(np.float32)
    wide = x.astype(np.float64)
    result = moments_of(x)
    np.testing.assert_allclose(result.uncentred(), wide.T @ wide, rtol=1e-12)
    np.testing.assert_allclose(result.covariance(), np.cov(wide.T), rtol=1e-12)
    assert repr(result).startswith(f"Moments(50 points, {D} features")


def test_single_rows_no_rows_and_half_precision_are_taken() -> None:
    x = np.random.default_rng(4).standard_normal((3, D)).astype(np.float32)
    check(moments_of_chunks([x[:1], x[:0], x[1:]]), x, slack=4)
    assert Moments.empty(D).add(x[:0]).count == 0
    half = jnp.asarray(x, jnp.bfloat16)
    check(moments_of(half), np.asarray(half.astype(jnp.float32)))


def test_the_compiled_product_is_that_of_the_host() -> None:
    x = np.random.default_rng(5).standard_normal((300, 7))
    result = module.products_on_device(x)
    assert result.dtype == np.float64 and not jax.config.jax_enable_x64
    np.testing.assert_allclose(result, x.T @ x, rtol=1e-13, atol=1e-12)
    np.testing.assert_array_equal(result, result.T)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: moments_of_chunks([]), "at least one array"),
        (lambda: moments_of_chunks([np.eye(3), np.eye(2)]), "3 columns.*got 2"),
        (lambda: Moments.empty(3).covariance(), "at least 2 points; got 0"),
        (lambda: Moments.empty(2).add([[1.0, np.nan]]), "chunk must have finite values"),
        (lambda: moments_of(np.ones(3)), "two axes"),
    ],
)
def test_unusable_input_is_described(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
