"""The sweep operator against inverses and Schur complements."""

from __future__ import annotations

import numpy as np

from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.nnk.sweep_operator import sweep


def _matrices(count: int, size: int) -> np.ndarray:
    parts = np.random.default_rng(0).normal(size=(count, size, size + 3))
    return parts @ parts.transpose(0, 2, 1)


def _sweep(tableau: np.ndarray, position: int, active: list[bool] | None = None) -> np.ndarray:
    positions = np.full(len(tableau), position)
    who = np.ones(len(tableau), bool) if active is None else np.array(active)
    with double_precision():
        return np.asarray(sweep(tableau, positions, who))


def test_sweeping_a_set_gives_inverse_solution_and_schur_complement():
    matrices = _matrices(2, 5)
    swept = _sweep(_sweep(matrices, 3), 1)
    inside, outside = [1, 3], [0, 2, 4]
    for before, after in zip(matrices, swept, strict=True):
        inverse = np.linalg.inv(before[np.ix_(inside, inside)])
        crossing = inverse @ before[np.ix_(inside, outside)]
        schur = before[np.ix_(outside, outside)] - before[np.ix_(outside, inside)] @ crossing
        np.testing.assert_allclose(after[np.ix_(inside, inside)], -inverse, rtol=1e-12)
        np.testing.assert_allclose(after[np.ix_(inside, outside)], crossing, rtol=1e-12)
        np.testing.assert_allclose(after[np.ix_(outside, outside)], schur, rtol=1e-11)


def test_a_second_sweep_undoes_the_first():
    matrices = _matrices(2, 4)
    np.testing.assert_allclose(_sweep(_sweep(matrices, 2), 2), matrices, rtol=1e-12)


def test_inactive_matrices_stay_as_they_are():
    matrices = _matrices(2, 4)
    swept = _sweep(matrices, 0, [False, True])
    np.testing.assert_array_equal(swept[0], matrices[0])
    assert not np.allclose(swept[1], matrices[1])
