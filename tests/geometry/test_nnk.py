"""The NNK solver against SciPy's NNLS in float64, on the kinds of data that embeddings are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from mgm_jax.errors import InputError
from mgm_jax.geometry.nnk import SUPPORT_WEIGHT, solve_nnk
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


def test_the_backup_rule_solves_what_the_greedy_rule_does_not(monkeypatch):
    from mgm_jax.geometry import nnk

    kernel, target, _ = _problems(cloud("relu", n=60))
    greedy = solve_nnk(kernel, target)
    monkeypatch.setattr(nnk, "_greedy_limit", lambda k: 3)
    nnk._solve.clear_cache()
    try:
        backup = solve_nnk(kernel, target)
    finally:
        nnk._solve.clear_cache()
    assert backup.polished.all() and not greedy.polished.any()
    np.testing.assert_allclose(backup.theta, greedy.theta, atol=1e-10)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rank=st.integers(1, 12), scale=st.floats(0.01, 100))
def test_any_positive_semidefinite_problem_is_solved(seed, rank, scale):
    random = np.random.default_rng(seed)
    features = random.normal(size=(4, 9, rank))
    features /= np.linalg.norm(features, axis=2, keepdims=True)
    kernel = features[:, :8] @ features[:, :8].transpose(0, 2, 1)
    target = scale * np.einsum("bjr,br->bj", features[:, :8], features[:, 8])
    solution = solve_nnk(kernel, target, own=np.full(4, scale**2))
    assert (solution.theta >= 0).all()
    assert solution.kkt.max() <= 1e-6 * max(scale, 1)
    best = [nnls(f[:8].T, scale * f[8])[1] ** 2 for f in features]
    np.testing.assert_allclose(solution.residual, best, atol=1e-9 * max(1, scale**2))


@pytest.mark.parametrize(
    ("kernel", "target", "mask", "message"),
    [
        (np.ones((2, 3, 3)), np.ones((2, 4)), None, r"\[b, k, k\].*\(2, 3, 3\)"),
        (np.ones((1, 2, 2)), np.full((1, 2), np.nan), None, "finite.*rows 0"),
        (np.ones((1, 2, 2)), np.ones((1, 2)), np.ones(2, bool), "mask must have shape"),
    ],
)
def test_unusable_problems_are_refused(kernel, target, mask, message):
    with pytest.raises(InputError, match=message):
        solve_nnk(kernel, target, mask)
