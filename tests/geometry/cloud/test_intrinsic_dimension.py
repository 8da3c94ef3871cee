"""Estimates of intrinsic dimension on clouds whose dimension is known."""

from __future__ import annotations

import numpy as np
import pytest

from mgm_jax import knn_graph
from mgm_jax.errors import InputError
from mgm_jax.geometry.cloud.intrinsic_dimension import (
    levina_bickel,
    levina_bickel_of,
    two_nn,
    two_nn_of,
)
from tests.geometry.neighbour_oracle import nearest


def cube(m: int, n: int = 900) -> np.ndarray:
    """A flat m-dimensional cube, turned into twelve dimensions."""
    rng = np.random.default_rng(m)
    frame = np.linalg.qr(rng.standard_normal((12, m)))[0]
    return rng.random((n, m)) @ frame.T + 3


@pytest.mark.parametrize(("m", "tolerance"), [(1, 0.1), (2, 0.2), (5, 0.8)])
def test_known_dimensions_are_recovered(m: int, tolerance: float) -> None:
    x = cube(m)
    assert two_nn(x).dimension[0] == pytest.approx(m, abs=tolerance)
    assert levina_bickel(x, k=15).average[0] == pytest.approx(m, abs=tolerance)


def test_levina_bickel_is_its_formula() -> None:
    x = cube(2, n=60).astype(np.float32)
    distances = nearest(x, k=6, metric="euclidean")[1].astype(np.float64)
    inverse = np.log(distances[:, -1:] / distances[:, :-1]).sum(axis=1) / 5
    result = levina_bickel(x, k=6)
    np.testing.assert_allclose(result.dimension, 1 / inverse, rtol=1e-5)
    assert result.average[0] == pytest.approx(1 / inverse.mean(), rel=1e-5)


def test_two_nn_is_a_fit_through_the_origin() -> None:
    x = cube(2, n=60).astype(np.float32)
    distances = nearest(x, k=2, metric="euclidean")[1].astype(np.float64)
    logs = np.sort(np.log(distances[:, 1] / distances[:, 0]))[:54]
    heights = -np.log(1 - np.arange(1, 55) / 60)
    slope = np.linalg.lstsq(logs[:, None], heights, rcond=None)[0][0]
    assert two_nn(x).dimension[0] == pytest.approx(slope, rel=1e-5)


def test_groups_are_estimated_apart() -> None:
    x = np.concatenate([cube(1, 300), cube(4, 300)])
    groups = np.repeat(["thread", "block"], 300)
    result = two_nn(x, groups=groups)
    assert result.groups.tolist() == ["block", "thread"]
    # Each cloud loses its own offset before it is rounded to float32.
    assert result.dimension[1] == pytest.approx(two_nn(x[:300]).dimension[0], rel=1e-4)
    assert result.to_pandas().loc["block", "dimension"] == result.dimension[0] > 3
    averages = levina_bickel(x, k=10, groups=groups).average
    assert averages[1] == pytest.approx(levina_bickel(x[:300], k=10).average[0], rel=1e-4)


def test_repeated_rows_change_nothing_and_are_counted() -> None:
    x = cube(2, n=200)
    repeated = np.concatenate([x, x[:50], x[:50]])
    result = two_nn(repeated)
    # The repeated rows move the offset that is taken off before rounding.
    assert result.dimension[0] == pytest.approx(two_nn(x).dimension[0], rel=1e-4)
    assert result.left_out.tolist() == [100] and result.valid.all()
    local, plain = levina_bickel(repeated, k=8), levina_bickel(x, k=8)
    assert local.average[0] == pytest.approx(plain.average[0], rel=1e-4)
    assert local.left_out.tolist() == [100]
    np.testing.assert_allclose(local.dimension[200:250], plain.dimension[:50], rtol=1e-3)
    assert local.repeated.sum() == 100 and not local.repeated[:200].any()


def test_what_cannot_be_estimated_is_flagged() -> None:
    constant = np.ones((30, 3))
    assert not two_nn(constant).valid.any() and not levina_bickel(constant, k=4).valid.any()
    simplex = levina_bickel(np.eye(12), k=4)
    assert not simplex.valid.any() and np.isnan(simplex.dimension).all()
    assert np.isnan(simplex.average).all() and simplex.left_out.tolist() == [12]
    assert not two_nn(np.eye(12)).valid.any()
    pair = two_nn(cube(2, n=12), groups=[0] * 10 + [1] * 2)
    assert pair.valid.tolist() == [True, False]


def test_many_groups_are_each_a_fit_through_the_origin() -> None:
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(np.arange(9), 30))
    x = rng.standard_normal((270, 4)).astype(np.float32)
    results = two_nn(x, groups=groups, discard=0.2)
    first, second = nearest(x, k=2, metric="euclidean", groups=groups)[1].astype(np.float64).T
    heights = -np.log(1 - np.arange(1, 25) / 30)
    for code in range(9):
        logs = np.sort(np.log(second / first)[groups == code])[:24]
        assert results.dimension[code] == pytest.approx(logs @ heights / (logs @ logs), rel=1e-12)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine"])
def test_a_graph_takes_the_place_of_the_search(metric) -> None:
    x = cube(3, n=150).astype(np.float32)
    if metric == "cosine":
        x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    graph = knn_graph(x, k=12, metric=metric)
    np.testing.assert_allclose(two_nn_of(graph).dimension, two_nn(x).dimension, rtol=1e-4)
    for unbiased in (False, True):
        options = {"k": 9, "unbiased": unbiased}
        results, expected = levina_bickel_of(graph, **options), levina_bickel(x, **options)
        np.testing.assert_allclose(results.dimension, expected.dimension, rtol=1e-4)
        np.testing.assert_allclose(results.average, expected.average, rtol=1e-4)


def test_unbiased_estimates_have_no_bias_where_the_others_do() -> None:
    # A flat torus has no boundary, so only the estimator itself is biased.
    rng = np.random.default_rng(1)
    angles = 2 * np.pi * rng.random((2500, 2))
    torus = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    plain, unbiased = (levina_bickel(torus, k=6, unbiased=flag) for flag in (False, True))
    np.testing.assert_allclose(unbiased.dimension, plain.dimension * 4 / 5, rtol=1e-12)
    assert unbiased.dimension.mean() == pytest.approx(2, abs=0.08)
    assert plain.dimension.mean() == pytest.approx(2.5, abs=0.1)


def test_graphs_that_do_not_serve_are_refused() -> None:
    x = cube(2, n=30)
    graph = knn_graph(x, k=1, metric="euclidean")
    with pytest.raises(InputError, match="at least 2 neighbours a point; got 1"):
        two_nn_of(graph)
    with pytest.raises(InputError, match="at least 2, to compare"):
        levina_bickel_of(graph)
    with pytest.warns(UserWarning, match="30 rows"):
        twice = knn_graph(np.repeat(x, 2, axis=0), k=3, metric="euclidean")
    with pytest.raises(InputError, match="60 with a neighbour at distance 0"):
        levina_bickel_of(twice)
    with pytest.raises(InputError, match="at least 3, as k - 2 divides"):
        levina_bickel(x, k=2, unbiased=True)


def test_unusable_options_are_described() -> None:
    x = cube(2, n=12)
    with pytest.raises(InputError, match="discard must be at least 0"):
        two_nn(x, discard=1)
    with pytest.raises(InputError, match="at least 2"):
        levina_bickel(x, k=1)
    with pytest.raises(InputError, match=r"groups b \(3\)"):
        levina_bickel(x, k=4, groups=["a"] * 9 + ["b"] * 3)


def test_results_turn_into_tables() -> None:
    x = cube(2, n=30)
    assert two_nn(x).to_pandas().columns.tolist() == ["dimension", "valid", "left_out"]
    assert levina_bickel(x, k=5).to_pandas().shape == (30, 3)
