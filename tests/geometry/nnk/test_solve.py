"""The NNK solver against SciPy's NNLS in float64, on the kinds of data that embeddings are."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from mgm_jax.errors import InputError
from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.nnk import pivot as nnk_pivot
from mgm_jax.geometry.nnk import solve as nnk
from mgm_jax.geometry.nnk.fallback import solve_fallback
from mgm_jax.geometry.nnk.solve import SUPPORT_WEIGHT, solve_nnk
from tests.geometry.clouds import KINDS, cloud, nearest, squared_gaps, unit

K = 30


def _problems(points: np.ndarray, k: int = K) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kernel, target and the float64 NNLS weights of every point under the shifted cosine."""
    placed = unit(points)
    gaps = squared_gaps(placed)
    candidates = nearest(gaps, k)
    kernel = 1 - gaps[candidates[:, :, None], candidates[:, None, :]] / 4
    target = 1 - np.take_along_axis(gaps, candidates, axis=1) / 4
    # (1 + cos) / 2 is the inner product of (1, u) / sqrt 2: NNLS on these needs no factorisation.
    lifted = np.concatenate([np.ones((len(placed), 1)), placed], axis=1) / np.sqrt(2)
    weights = [
        nnls(lifted[row].T, point, maxiter=50 * k)[0]
        for row, point in zip(candidates, lifted, strict=True)
    ]
    return kernel, target, np.stack(weights)


def _objective(kernel: np.ndarray, target: np.ndarray, theta: np.ndarray) -> np.ndarray:
    reproduced = np.einsum("bjl,bl->bj", kernel, theta)
    return (theta * (reproduced / 2 - target)).sum(axis=1)


@pytest.mark.parametrize("kind", KINDS)
def test_solution_is_that_of_float64_nnls(kind):
    kernel, target, expected = _problems(cloud(kind))
    solution = solve_nnk(kernel, target)
    best = _objective(kernel, target, expected)
    gap = (_objective(kernel, target, solution.theta) - best) / np.abs(best)
    assert gap.max() <= 1e-10
    assert np.max(solution.kkt) <= 1e-6
    ours, theirs = solution.theta > SUPPORT_WEIGHT, expected > SUPPORT_WEIGHT
    assert (ours == theirs).all(axis=1).mean() >= 0.995
    heavier = np.maximum(solution.theta, expected)[ours != theirs]
    assert heavier.max(initial=0) <= 1e-5
    np.testing.assert_allclose(
        solution.residual, 1 + 2 * _objective(kernel, target, solution.theta), atol=1e-12
    )


def test_kkt_is_the_violation_that_the_definition_gives():
    kernel, target, _ = _problems(cloud("random"))
    solution = solve_nnk(kernel, target)
    slope = np.einsum("bjl,bl->bj", kernel, solution.theta) - target
    expected = np.abs(np.minimum(solution.theta, slope)).max(axis=1)
    np.testing.assert_allclose(solution.kkt, expected, atol=1e-14)


def test_of_equal_candidates_the_first_is_kept():
    kernel, target, _ = _problems(cloud("random"))
    order = np.r_[0, 0, 1, 1, 1, 2 : K - 3]
    repeated = solve_nnk(kernel[:, order][:, :, order], target[:, order])
    once = solve_nnk(kernel[:, : K - 3, : K - 3], target[:, : K - 3])
    assert not repeated.theta[:, [1, 3, 4]].any()
    np.testing.assert_allclose(repeated.theta[:, [0, 2, *range(5, K)]], once.theta, atol=1e-9)


def test_masked_candidates_count_for_nothing_whatever_they_hold():
    kernel, target, _ = _problems(cloud("random"))
    mask = np.ones(target.shape, bool)
    mask[:, 20:] = False
    spoiled = np.where(mask[:, :, None] & mask[:, None, :], kernel, np.nan)
    got = solve_nnk(spoiled, np.where(mask, target, np.inf), mask)
    alone = solve_nnk(kernel[:, :20, :20], target[:, :20])
    np.testing.assert_allclose(got.theta[:, :20], alone.theta, atol=1e-12)
    assert not got.theta[:, 20:].any()


def test_one_candidate_has_the_weight_of_its_kernel_and_opposite_ones_none():
    solution = solve_nnk(np.ones((2, 1, 1)), np.array([[0.25], [0.0]]))
    assert solution.theta.tolist() == [[0.25], [0.0]]
    assert solution.residual.tolist() == [1 - 0.25**2, 1.0]


def _feature_problems(random, *, points: int, k: int, rank: int):
    """Problems of given rank, with the unit vectors that they come from."""
    features = random.normal(size=(points, k + 1, rank))
    features /= np.linalg.norm(features, axis=2, keepdims=True)
    kernel = features[:, :k] @ features[:, :k].transpose(0, 2, 1)
    return kernel, np.einsum("bjr,br->bj", features[:, :k], features[:, k]), features


def _fallback(kernel, target, start, **options):
    with double_precision():
        allowed = jnp.ones(target.shape, bool)
        return solve_fallback(jnp.asarray(kernel), jnp.asarray(target), allowed, start, **options)


@pytest.mark.parametrize("greedy", [0, 3, None])
def test_the_backup_rule_solves_from_any_support(greedy):
    kernel, target, expected = _problems(cloud("relu", n=60))
    random = np.random.default_rng(0)
    for share in (0.0, 0.3, 1.0):
        start = random.random(target.shape) < share
        result = _fallback(kernel, target, start, greedy=greedy)
        np.testing.assert_allclose(result.theta, expected, atol=1e-9)


def test_the_least_index_rule_ends_on_the_problem_that_costs_it_most():
    # On this kind (Fathi 1979) least-index pivoting visits every support: 2^k - 1 exchanges.
    k = 6
    lower = np.tril(np.full((k, k), 2.0), -1) + np.eye(k)
    kernel = lower.T @ lower
    scale = np.sqrt(np.diagonal(kernel))
    kernel, target = (kernel / np.outer(scale, scale))[None], (1 / scale)[None]
    slow = _fallback(kernel, target, np.zeros((1, k), bool), greedy=0)
    quick = solve_nnk(kernel, target)
    right = np.linalg.solve((lower / scale).T, target[0])
    expected = nnls(lower / scale, right)[0]
    np.testing.assert_allclose(slow.theta[0], expected, atol=1e-12)
    np.testing.assert_allclose(quick.theta[0], expected, atol=1e-12)
    assert slow.pivots.tolist() == [63] and quick.pivots[0] < k


def test_ties_and_zero_weights_are_solved():
    # Equal correlations: every exchange ties. The point is a candidate: all weights but one are 0.
    k = 9
    kernel = np.full((k, k), 0.5) + 0.5 * np.eye(k)
    solution = solve_nnk(np.stack([kernel, kernel]), np.stack([np.full(k, 0.5), kernel[3]]))
    np.testing.assert_allclose(solution.theta[0], 0.5 / (0.5 + 0.5 * k), atol=1e-14)
    np.testing.assert_allclose(solution.theta[1], np.eye(k)[3], atol=1e-14)
    assert solution.kkt.max() <= 1e-14


def test_points_whose_terms_do_not_fit_take_the_fallback(monkeypatch):
    kernel, target, expected = _problems(cloud("relu", n=60))
    plain = solve_nnk(kernel, target)
    monkeypatch.setattr(nnk_pivot, "blocks_of", lambda k: (1, 8))
    # A function of its own is compiled anew, with the room that there is now.
    monkeypatch.setattr(nnk, "_solve", jax.jit(lambda *columns: nnk.nnk_weights(*columns)))
    cramped = solve_nnk(kernel, target)
    assert cramped.fallback.any() and not plain.fallback.any()
    assert cramped.kkt.max() <= 1e-14
    np.testing.assert_allclose(cramped.theta, expected, atol=1e-9)


def test_points_whose_certificate_fails_take_the_fallback_to_rounding():
    # Seven dimensions and a hundred candidates: what enters last nearly depends on the others.
    kernel, target, expected = _problems(cloud("low_dimension"), k=100)
    solution = solve_nnk(kernel, target)
    assert 0 < solution.fallback.sum() < len(target)
    assert solution.kkt.max() <= 1e-13
    best = _objective(kernel, target, expected)
    assert (_objective(kernel, target, solution.theta) - best).max() <= 1e-12


@pytest.mark.parametrize("kind", ["relu", "views_1e-2", "low_dimension"])
def test_a_warm_start_does_not_change_the_answer(kind):
    kernel, target, expected = _problems(cloud(kind))
    fewer = np.broadcast_to(np.arange(K) < 15, target.shape)
    among_fewer = solve_nnk(kernel, target, fewer).theta > SUPPORT_WEIGHT
    random = np.random.default_rng(0)
    starts = [among_fewer, expected > SUPPORT_WEIGHT, random.random(target.shape) < 0.5]
    best = _objective(kernel, target, expected)
    for start in [*starts, np.ones(target.shape, bool)]:
        warm = solve_nnk(kernel, target, start=start)
        assert warm.kkt.max() <= 1e-13
        assert np.abs(_objective(kernel, target, warm.theta) - best).max() <= 1e-12


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rank=st.integers(9, 14), share=st.floats(0, 1))
def test_any_start_and_any_mask_lead_to_the_cold_answer(seed, rank, share):
    random = np.random.default_rng(seed)
    kernel, target, _ = _feature_problems(random, points=4, k=8, rank=rank)
    mask = random.random(target.shape) < 0.8
    cold = solve_nnk(kernel, target, mask)
    warm = solve_nnk(kernel, target, mask, start=random.random(target.shape) < share)
    np.testing.assert_allclose(warm.theta, cold.theta, atol=1e-8)
    assert max(warm.kkt.max(), cold.kkt.max()) <= 1e-12


@pytest.mark.parametrize("k", [1, 25, 200])
def test_any_number_of_candidates_is_solved(k):
    random = np.random.default_rng(k)
    kernel, target, features = _feature_problems(random, points=5, k=k, rank=40)
    solution = solve_nnk(kernel, target)
    best = [nnls(f[:k].T, f[k], maxiter=50 * k)[1] ** 2 for f in features]
    np.testing.assert_allclose(solution.residual, best, atol=1e-12)
    assert solution.kkt.max() <= 1e-13


def test_a_point_does_not_depend_on_its_company():
    kernel, target, _ = _problems(cloud("relu"))
    whole = solve_nnk(kernel, target)
    order = np.random.default_rng(0).permutation(len(target))
    shuffled = solve_nnk(kernel[order], target[order])
    np.testing.assert_array_equal(shuffled.theta, whole.theta[order])
    np.testing.assert_array_equal(shuffled.kkt, whole.kkt[order])
    part = solve_nnk(kernel[7:40], target[7:40])
    np.testing.assert_allclose(part.theta, whole.theta[7:40], atol=1e-13)


def test_no_points_have_no_solution():
    solution = solve_nnk(np.ones((0, 3, 3)), np.ones((0, 3)))
    assert solution.theta.shape == (0, 3) and solution.kkt.shape == (0,)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rank=st.integers(1, 12), scale=st.floats(0.01, 100))
@example(seed=35744, rank=4, scale=1.0)
def test_any_positive_semidefinite_problem_is_solved(seed, rank, scale):
    random = np.random.default_rng(seed)
    features = random.normal(size=(4, 9, rank))
    features /= np.linalg.norm(features, axis=2, keepdims=True)
    kernel = features[:, :8] @ features[:, :8].transpose(0, 2, 1)
    target = scale * np.einsum("bjr,br->bj", features[:, :8], features[:, 8])
    solution = solve_nnk(kernel, target, own=np.full(4, scale**2))
    assert (solution.theta >= 0).all()
    # In the example four candidates nearly cancel, with weights of millions: the rounding of the
    # kernel itself, over the root of the least square that counts as independent, is that large.
    assert (solution.kkt <= 1e-6 * max(scale, 1) + 1e-8 * solution.theta.sum(axis=1)).all()
    best = [nnls(f[:8].T, scale * f[8])[1] ** 2 for f in features]
    np.testing.assert_allclose(solution.residual, best, atol=1e-9 * max(1, scale**2))


@pytest.mark.parametrize(
    ("kernel", "target", "mask", "message"),
    [
        (np.ones((2, 3, 3)), np.ones((2, 4)), None, r"\[b, k, k\].*\(2, 3, 3\)"),
        (np.ones((1, 2, 2)), np.full((1, 2), np.nan), None, "finite.*rows 0"),
        (np.full((1, 2, 2), np.nan), np.ones((1, 2)), None, "finite.*rows 0"),
        (np.full((1, 2, 2), np.inf), np.ones((1, 2)), None, "finite.*rows 0"),
        (np.ones((1, 2, 2)), np.array([[1.0, -np.inf]]), None, "finite.*rows 0"),
        (np.ones((1, 2, 2)), np.ones((1, 2)), np.ones(2, bool), "mask must have shape"),
        (np.ones((1, 0, 0)), np.ones((1, 0)), None, "at least 1 candidate"),
    ],
)
def test_unusable_problems_are_refused(kernel, target, mask, message):
    with pytest.raises(InputError, match=message):
        solve_nnk(kernel, target, mask)


def test_a_start_of_another_shape_is_refused():
    with pytest.raises(InputError, match=r"start must have shape \(1, 2\)"):
        solve_nnk(np.eye(2)[None], np.ones((1, 2)), start=np.ones((1, 3), bool))
