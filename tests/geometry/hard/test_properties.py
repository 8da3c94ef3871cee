"""Properties that hold for every cloud, against float64; one shape each, so all compile once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mgm_jax.geometry.knn.distance import METRICS, Metric
from mgm_jax.geometry.knn.graph import knn_graph
from mgm_jax.geometry.nnk.graph import nnk_graph
from mgm_jax.geometry.points.checks import check_points, find_duplicates
from mgm_jax.geometry.points.groups import encode_groups
from mgm_jax.metrics import manifold_metrics
from tests.geometry.hard.hard_clouds import WIDTH, K, N
from tests.geometry.hard.oracles import (
    COPIES,
    check_neighbours,
    dropped_weights,
    kkt_violation,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*equal an earlier row", "ignore:.*repeat an earlier row"
)

SIZES = 10.0 ** np.arange(-6, 7)


@st.composite
def hard_points(draw: st.DrawFn) -> np.ndarray:
    """A cloud ``[48, 8]`` of a random kind: sizes, offsets, ties, copies and flat parts."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if draw(st.booleans()):
        points = rng.standard_normal((N, WIDTH))
    else:
        points = rng.integers(-2, 3, (N, WIDTH)).astype(float)
    rank = draw(st.integers(1, WIDTH))
    points[:, rank:] = 0
    copies = draw(st.integers(0, N // 2))
    points[rng.permutation(N)[:copies]] = points[0]
    points *= draw(st.sampled_from(SIZES))
    if draw(st.booleans()):
        points *= 10.0 ** rng.uniform(-3, 3, (N, 1))
    points += draw(st.sampled_from((0, 1, -1000))) * np.abs(points).max()
    return points.astype(np.float32)


def _without_zeros(points: np.ndarray) -> np.ndarray:
    """The same with a one in rows of zeros, which have no direction."""
    return np.where((points == 0).all(axis=1)[:, None], np.float32(1), points)


@settings(max_examples=25, deadline=None)
@given(points=hard_points(), metric=st.sampled_from(METRICS))
def test_the_graph_is_exact(points: np.ndarray, metric: Metric) -> None:
    x = _without_zeros(points) if metric == "cosine" else points
    graph = knn_graph(x, k=K, metric=metric)
    check_neighbours(graph.indices, graph.distances, x, metric)


@settings(max_examples=10, deadline=None)
@given(points=hard_points(), seed=st.integers(0, 2**32 - 1))
def test_the_graph_within_groups_is_exact(points: np.ndarray, seed: int) -> None:
    groups = np.random.default_rng(seed).permutation(np.repeat([1, 2, 3], N // 3))
    graph = knn_graph(points, k=K, metric="euclidean", groups=groups)
    check_neighbours(graph.indices, graph.distances, points, "euclidean", groups=groups)


@settings(max_examples=10, deadline=None)
@given(points=hard_points(), base=hard_points())
def test_the_graph_among_a_base_is_exact(points: np.ndarray, base: np.ndarray) -> None:
    # Squares of both must fit into one scale.
    assume(np.abs(base).max() < 1e8 * np.abs(points).max())
    graph = knn_graph(points, k=K, metric="euclidean", base=base)
    check_neighbours(graph.indices, graph.distances, points, "euclidean", base=base)


@settings(max_examples=10, deadline=None)
@given(points=hard_points(), seed=st.integers(0, 2**32 - 1), metric=st.sampled_from(METRICS))
def test_the_order_of_points_does_not_matter(points: np.ndarray, seed: int, metric: Metric) -> None:
    x = _without_zeros(points)
    order = np.random.default_rng(seed).permutation(N)
    graph, mixed = (knn_graph(y, k=K, metric=metric) for y in (x, x[order]))
    np.testing.assert_array_equal(mixed.distances, graph.distances[order])
    # Of equally near points others may come first, at the end of the list others at all.
    alone = np.diff(graph.distances, axis=1, prepend=-1, append=np.inf) > 0
    unique = (alone[:, :-1] & alone[:, 1:])[order]
    unique[:, -1] = False
    np.testing.assert_array_equal(order[mixed.indices][unique], graph.indices[order][unique])


@settings(max_examples=10, deadline=None)
@given(points=hard_points(), seed=st.integers(0, 2**32 - 1))
def test_lengths_do_not_matter_under_the_cosine(points: np.ndarray, seed: int) -> None:
    x = _without_zeros(points)
    # Powers of two: nothing is rounded.
    powers = np.random.default_rng(seed).integers(-40, 40, (N, 1))
    scaled = np.ldexp(x, powers).astype(np.float32)
    graph, other = knn_graph(x, k=K), knn_graph(scaled, k=K)
    np.testing.assert_array_equal(other.distances, graph.distances)
    # Copies that no longer equal each other bit for bit stay at distance 0.
    far = graph.distances > 0
    np.testing.assert_array_equal(other.indices[far], graph.indices[far])


@settings(max_examples=15, deadline=None)
@given(points=hard_points())
def test_cosine_weights_meet_the_conditions_of_an_optimum(points: np.ndarray) -> None:
    x = _without_zeros(points)
    graph = nnk_graph(x, k=K)
    violation = kkt_violation(x, graph.indices, graph.weights, kernel="cosine")
    assert violation.max() < dropped_weights(K) and graph.kkt.max() < COPIES


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rank=st.integers(1, WIDTH), width=st.floats(0.3, 3))
def test_gaussian_weights_meet_the_conditions_of_an_optimum(
    seed: int, rank: int, width: float
) -> None:
    x = np.random.default_rng(seed).standard_normal((N, WIDTH)).astype(np.float32)
    x[:, rank:] = 3
    graph = nnk_graph(x, k=K, kernel="gaussian", bandwidth=width)
    widths = np.full(N, width)
    violation = kkt_violation(x, graph.indices, graph.weights, kernel="gaussian", bandwidth=widths)
    assert violation.max() < dropped_weights(K) and graph.kkt.max() < 1e-9


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    powers=st.tuples(st.integers(-90, 90), st.integers(0, 2**32 - 1)),
)
def test_metrics_depend_on_directions_and_angles_alone(seed: int, powers: tuple[int, int]) -> None:
    random = np.random.default_rng(seed)
    x = random.standard_normal((N, WIDTH))
    turn = np.linalg.qr(random.standard_normal((WIDTH, WIDTH)))[0]
    order = random.permutation(N)
    sizes = np.ldexp(1.0, powers[0] + np.random.default_rng(powers[1]).integers(-9, 9, (N, 1)))
    still = manifold_metrics(x.astype(np.float32), k=K)
    moved = manifold_metrics((sizes * (x @ turn))[order].astype(np.float32), k=K)
    for name in still.columns:
        # Random pairs go by the place in the group.
        if name != "nnk_affinity_null":
            expected = getattr(still, name)[order]
            np.testing.assert_allclose(getattr(moved, name), expected, atol=1e-4, err_msg=name)


@settings(max_examples=25, deadline=None)
@given(points=hard_points())
def test_copies_are_the_rows_that_numpy_finds_equal(points: np.ndarray) -> None:
    equal = (points[:, None] == points[None]).all(axis=2)
    np.testing.assert_array_equal(find_duplicates(points), equal.argmax(axis=1))


@settings(max_examples=40, deadline=None)
@given(
    labels=st.lists(
        st.one_of(st.none(), st.integers(-3, 3), st.floats(), st.text(max_size=2)),
        min_size=1,
        max_size=6,
    )
)
def test_labels_are_partitioned_as_python_would_or_refused(labels: list) -> None:
    try:
        groups = encode_groups(labels, len(labels))
    except ValueError as error:
        assert str(error).startswith("groups must")
        return
    same = np.array([[one == other for other in labels] for one in labels])
    np.testing.assert_array_equal(groups.codes[:, None] == groups.codes[None], same)


@settings(max_examples=40, deadline=None)
@given(
    offset=st.sampled_from((0.0, 1.0, 1e3, 1e6, 1e9, 1e200)),
    size=st.sampled_from((1e-320, 1e-200, 1e-30, 1e-9, 1e-3, 1.0, 1e9, 1e30)),
    seed=st.integers(0, 2**32 - 1),
)
def test_wide_numbers_keep_their_differences_or_are_refused(
    offset: float, size: float, seed: int
) -> None:
    points = offset + size * np.random.default_rng(seed).standard_normal((12, 3))
    try:
        checked = check_points(points).astype(np.float64)
    except ValueError as error:
        assert str(error).startswith("x ")
        return
    spread = np.sqrt(((points - points.mean(axis=0)) ** 2).sum())
    assert np.sqrt(((checked - points) ** 2).sum()) <= 2.0**-10 * spread
