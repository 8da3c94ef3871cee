"""The NNK graph as users call it: against float64 NNLS, options, equal rows, errors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls

from mgm_jax.errors import InputError
from mgm_jax.geometry.nnk import graph as module
from mgm_jax.geometry.nnk.graph import nnk_graph
from tests.geometry.clouds import cloud, nearest, squared_gaps, unit

# One shape of groups and one of candidates, so that everything here compiles once.
GROUPS = np.repeat(["b", "a", "c"], 20)
POINTS = cloud("random", n=60)
K = 12


def _expected(points: np.ndarray, rows: np.ndarray, kernel) -> tuple[np.ndarray, np.ndarray]:
    """Candidates and NNLS weights of the points of one group."""
    gaps = squared_gaps(points[rows])
    candidates = nearest(gaps, K)
    weights = []
    for i, chosen in enumerate(candidates):
        among, own = kernel(gaps[np.ix_(chosen, chosen)], i), kernel(gaps[i, chosen], i)
        factor = np.linalg.cholesky(among)
        weights.append(nnls(factor.T, np.linalg.solve(factor, own), maxiter=2000)[0])
    return rows[candidates], np.stack(weights)


def _check(graph, points, kernel) -> None:
    for name in np.unique(GROUPS):
        rows = np.flatnonzero(name == GROUPS)
        candidates, weights = _expected(points, rows, kernel)
        np.testing.assert_array_equal(graph.indices[rows], candidates)
        weights[weights <= 1e-6] = 0
        np.testing.assert_allclose(graph.weights[rows], weights, atol=1e-9)
    assert graph.kkt.max() < 1e-12


def test_weights_under_the_cosine_are_those_of_nnls():
    graph = nnk_graph(POINTS, k=K, groups=GROUPS)
    _check(graph, unit(POINTS), lambda gaps, i: 1 - gaps / 4)
    assert (graph.k_effective == K).all()


def test_weights_under_a_gaussian_of_each_points_own_width_are_those_of_nnls():
    widths = np.linspace(5, 9, 20)
    graph = nnk_graph(POINTS, k=K, kernel="gaussian", bandwidth=np.tile(widths, 3), groups=GROUPS)
    _check(graph, POINTS, lambda gaps, i: np.exp(-gaps / (2 * widths[i] ** 2)))


def test_the_gaussian_takes_the_farthest_candidate_for_its_width():
    given = squared_gaps(POINTS[:20])
    widths = np.sqrt(np.sort(given, axis=1)[:, K])
    own = nnk_graph(POINTS[:20], k=K, kernel="gaussian")
    told = nnk_graph(POINTS[:20], k=K, kernel="gaussian", bandwidth=widths)
    np.testing.assert_allclose(own.weights, told.weights, atol=1e-9)


def test_large_groups_that_gather_their_candidates_give_the_same(monkeypatch):
    through_gram = nnk_graph(POINTS, k=K, groups=GROUPS)
    monkeypatch.setattr(module, "GRAM_LIMIT", 0)
    gathered = nnk_graph(POINTS, k=K, groups=GROUPS)
    np.testing.assert_array_equal(gathered.indices, through_gram.indices)
    np.testing.assert_allclose(gathered.weights, through_gram.weights, atol=1e-9)
    np.testing.assert_allclose(gathered.residual, through_gram.residual, atol=1e-12)


def test_groups_of_unequal_size_have_as_many_candidates_as_there_are():
    graph = nnk_graph(POINTS[:26], groups=np.repeat([5, 9], [20, 6]))
    assert graph.indices.shape == (26, 19)
    assert graph.k_effective.tolist() == [19] * 20 + [5] * 6
    assert (graph.indices[20:, 5:] == -1).all() and not graph.weights[20:, 5:].any()
    assert ((graph.indices[20:, :5] >= 20) & (graph.indices[20:, :5] < 26)).all()


def test_edges_and_their_look_in_a_notebook():
    graph = nnk_graph(POINTS, k=K, groups=GROUPS)
    edges = graph.to_pandas()
    assert list(edges.columns) == ["source", "target", "weight"]
    assert len(edges) == graph.degree.sum() and (edges.weight > 1e-6).all()
    rebuilt = np.zeros((60, 60))
    rebuilt[edges.source, edges.target] = edges.weight
    full = np.zeros((60, 60))
    np.put_along_axis(full, graph.indices, graph.weights, axis=1)
    np.testing.assert_array_equal(rebuilt, full)
    assert "60 points" in graph._repr_html_() and "<table" in graph._repr_html_()


def _with_repeats() -> np.ndarray:
    repeated = POINTS.copy()
    repeated[[3, 7]] = repeated[1]
    return repeated


def test_a_repeated_point_has_its_copy_as_only_neighbour_and_a_warning_says_so():
    with pytest.warns(UserWarning, match=r"2 rows repeat.*rows 3, 7.*groups b"):
        graph = nnk_graph(_with_repeats(), k=K, groups=GROUPS)
    assert graph.indices[[1, 3, 7], 0].tolist() == [3, 1, 1]
    assert graph.degree[[1, 3, 7]].tolist() == [1, 1, 1]
    np.testing.assert_allclose(graph.weights[[1, 3, 7], 0], 1)
    np.testing.assert_allclose(graph.residual[[1, 3, 7]], 0, atol=1e-12)


def test_dropped_repeats_share_the_neighbours_of_the_first():
    graph = nnk_graph(_with_repeats(), k=K, groups=GROUPS, duplicates="drop")
    kept = np.delete(np.arange(60), [3, 7])
    alone = nnk_graph(POINTS[kept], k=K, groups=GROUPS[kept])
    np.testing.assert_array_equal(graph.indices[kept], kept[alone.indices])
    np.testing.assert_allclose(graph.weights[kept], alone.weights, atol=1e-12)
    np.testing.assert_array_equal(graph.indices[[3, 7]], graph.indices[[1, 1]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"k": 20},
            "k=20 needs groups of at least 21 .* in the groups a .*, b .*, c",
        ),
        ({"k": 0}, "k must be .*at least 1"),
        ({"kernel": "linear"}, "kernel must be one of"),
        ({"duplicates": "ignore"}, "duplicates must be"),
        ({"bandwidth": 1.0}, "belongs to kernel='gaussian'"),
        ({"groups": ["x", *GROUPS[1:]]}, r"at least 2 points; got too few in the groups x"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        nnk_graph(POINTS, **{"groups": GROUPS, **options})


def test_repeats_and_points_without_direction_are_refused():
    with pytest.raises(InputError, match="distinct rows"):
        nnk_graph(_with_repeats(), k=K, groups=GROUPS, duplicates="raise")
    points = POINTS.copy()
    points[4] = 0
    with pytest.raises(InputError, match=r"zeros.*rows 4"):
        nnk_graph(points, k=K, groups=GROUPS)
