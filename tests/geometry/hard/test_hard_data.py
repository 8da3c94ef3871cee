"""Data that is legal and hard: the right answer, or an error that says what to do."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from mgm_jax.errors import InputError
from mgm_jax.geometry.backend.wide import WideArithmetic, arithmetic
from mgm_jax.geometry.cloud.intrinsic_dimension import levina_bickel, two_nn
from mgm_jax.geometry.cloud.spectrum import mean_cosine, spectrum, uniformity
from mgm_jax.geometry.knn.distance import METRICS, Metric
from mgm_jax.geometry.knn.graph import knn_graph
from mgm_jax.geometry.local.pca import local_pca
from mgm_jax.geometry.nnk.graph import nnk_graph
from mgm_jax.metrics import manifold_metrics
from tests.geometry.hard.hard_clouds import GROUPS, WIDTH, K, N, clouds, ordinary
from tests.geometry.hard.oracles import (
    ONE_ROUNDING,
    check_neighbours,
    kkt_violation,
    squared_gaps,
    unit_rows,
)
from tests.geometry.neighbour_oracle import nearest
from tests.metrics.oracle import oracle

CLOUDS = clouds()
# Squares of these do not fit into float32.
TOO_LARGE, TOO_SMALL = ("1e30", "1e30 and 1e-30"), ("1e-30",)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*equal an earlier row", "ignore:.*repeat an earlier row"
)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", CLOUDS)
def test_neighbours_of_hard_clouds_are_exact(kind: str, metric: Metric) -> None:
    x = CLOUDS[kind]
    if metric == "sqeuclidean" and kind in TOO_LARGE:
        with pytest.raises(InputError, match=r"fit into float32.*Divide the points"):
            knn_graph(x, k=K, metric=metric)
        return
    if metric == "sqeuclidean" and kind in TOO_SMALL:
        return
    graph = knn_graph(x, k=K, metric=metric)
    check_neighbours(graph.indices, graph.distances, x, metric)
    expected, _ = nearest(x, k=K, metric=metric)
    # Beside ties of one rounding, every index is that of extended precision.
    assert (graph.indices == expected).mean() > 0.99


@pytest.mark.parametrize(
    "kind", ["copies", "copies but for 1e-7", "all equal", "lattice", "far from the origin"]
)
def test_hard_clouds_in_groups_and_among_a_base(kind: str) -> None:
    x = CLOUDS[kind]
    graph = knn_graph(x, k=K, metric="euclidean", groups=GROUPS)
    check_neighbours(graph.indices, graph.distances, x, "euclidean", groups=GROUPS)
    among = knn_graph(x[::-1], k=K, metric="euclidean", base=x)
    check_neighbours(among.indices, among.distances, x[::-1], "euclidean", base=x)
    assert (among.distances[:, 0] == 0).all()


def test_points_that_are_their_own_base_find_themselves() -> None:
    x = ordinary()
    for metric in METRICS:
        graph = knn_graph(x, k=1, metric=metric, base=x)
        assert graph.indices[:, 0].tolist() == list(range(N)) and not graph.distances.any()


def test_all_points_may_be_neighbours() -> None:
    x = ordinary()
    graph = knn_graph(x, k=N - 1, metric="euclidean")
    check_neighbours(graph.indices, graph.distances, x, "euclidean")
    result = NearestNeighbors(n_neighbors=N - 1, algorithm="brute").fit(x.astype(np.float64))
    np.testing.assert_array_equal(graph.indices, result.kneighbors()[1])
    among = knn_graph(x, k=N, metric="euclidean", base=x)
    assert (np.sort(among.indices, axis=1) == np.arange(N)).all()


@pytest.mark.parametrize("kind", CLOUDS)
def test_weights_under_the_cosine_are_optimal(kind: str) -> None:
    x = CLOUDS[kind]
    graph = nnk_graph(x, k=K)
    violation = kkt_violation(x, graph.indices, graph.weights, kernel="cosine")
    # Weights up to 1e-6 are set to 0.
    assert violation.max() < 2e-6 and graph.kkt.max() < 1e-9
    assert (graph.weights >= 0).all() and np.isfinite(graph.residual).all()


HARD_FOR_GAUSSIANS = {
    # Candidates nearer to each other than float32 tells points apart, seen at a width of that size.
    *("1e30 and 1e-30", "copies but for 1e-7", "copies but for 1e-8", "neighbouring numbers"),
    *("one point far away", "two tight clusters", "lengths over 20 decades"),
    *("1e30", "1e-30"),
}


@pytest.mark.parametrize("kind", sorted(set(CLOUDS) - HARD_FOR_GAUSSIANS))
def test_weights_under_a_gaussian_are_optimal(kind: str) -> None:
    x = CLOUDS[kind]
    graph = nnk_graph(x, k=K, kernel="gaussian")
    violation = kkt_violation(x, graph.indices, graph.weights, kernel="gaussian")
    assert violation.max() < 2e-6 and graph.kkt.max() < 1e-9


@pytest.mark.parametrize("kind", sorted(CLOUDS))
def test_weights_that_float32_points_cannot_settle_are_flagged(kind: str) -> None:
    x = CLOUDS[kind]
    graph = nnk_graph(x, k=K, kernel="gaussian")
    violation = kkt_violation(x, graph.indices, graph.weights, kernel="gaussian")
    assert (violation[graph.resolved] < 1e-5).all()
    # The flag is not raised where there is nothing to see.
    assert graph.resolved.all() or kind in HARD_FOR_GAUSSIANS
    assert nnk_graph(x, k=K).resolved.all()


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("ordinary", 1e-9),
        ("1e30", 1e-9),
        ("1e-30", 1e-9),
        ("1e30 and 1e-30", 1e-9),
        ("lengths over 20 decades", 1e-9),
        # Directions count down to 1e-6 of the largest, 1e-12 of it in a Gram matrix, whose rounding
        # turns them by 2^-52 / 1e-12.
        ("columns over 12 decades", 2.3e-4),
    ],
)
def test_manifold_metrics_of_hard_clouds(kind: str, error: float) -> None:
    x = CLOUDS[kind]
    metrics, expected = manifold_metrics(x, k=K), oracle(x, np.zeros(N, int), k=K)
    for name, column in expected.items():
        np.testing.assert_allclose(getattr(metrics, name), column, atol=error, err_msg=name)


@pytest.mark.parametrize("kind", CLOUDS)
def test_no_metric_is_a_quiet_nan(kind: str) -> None:
    metrics = manifold_metrics(CLOUDS[kind], k=K)
    table = np.array([getattr(metrics, name).astype(float) for name in metrics.columns])
    np.testing.assert_array_equal(np.isnan(table).any(axis=0), metrics.degenerate)
    assert metrics.nnk_kkt.max() < 1e-9
    copies = kind in ("all equal", "one line", "one column", "neighbouring numbers")
    assert metrics.degenerate.all() or not copies


@pytest.mark.parametrize("kind", CLOUDS)
@pytest.mark.parametrize("wide", ["float64", "pairs"])
def test_spectra_are_those_of_float64(kind: str, wide: WideArithmetic) -> None:
    x = CLOUDS[kind].astype(np.float64)
    with arithmetic(wide):
        result = spectrum(CLOUDS[kind])
    expected = np.linalg.svd(x, compute_uv=False)
    # Squares in a Gram matrix: half the digits of the small ones.
    np.testing.assert_allclose(result.singular_values, expected, rtol=1e-6, atol=2e-8 * expected[0])
    assert 0.999 < result.rankme < WIDTH + 0.01


@pytest.mark.parametrize("kind", CLOUDS)
def test_measures_of_directions_are_those_of_float64(kind: str) -> None:
    unit = unit_rows(CLOUDS[kind])
    gaps = squared_gaps(unit)[~np.eye(N, dtype=bool)]
    assert abs(uniformity(CLOUDS[kind]) - np.log(np.exp(-2 * gaps).mean())) < 2e-6
    assert abs(mean_cosine(CLOUDS[kind]) - (1 - gaps / 2).mean()) < 1e-12


@pytest.mark.parametrize(
    "kind",
    [
        "ordinary",
        "far from the origin",
        "very near one another",
        "columns over 12 decades",
        "lattice",
        "copies but for 1e-4",
    ],
)
def test_local_spectra_are_those_of_float64(kind: str) -> None:
    x = CLOUDS[kind].astype(np.float64)
    result = local_pca(CLOUDS[kind], k=K)
    indices, _ = nearest(CLOUDS[kind], k=K, metric="euclidean")
    for i, chosen in enumerate(indices):
        values = np.linalg.svd(x[chosen] - x[chosen].mean(axis=0), compute_uv=False) ** 2 / K
        np.testing.assert_allclose(result.spectrum[i], values[:K], rtol=1e-5, atol=1e-5 * values[0])


def test_one_feature() -> None:
    x = np.random.default_rng(3).standard_normal((N, 1)).astype(np.float32)
    for metric in METRICS:
        graph = knn_graph(x, k=K, metric=metric)
        check_neighbours(graph.indices, graph.distances, x, metric)
    graph = nnk_graph(x, k=K, kernel="gaussian")
    assert kkt_violation(x, graph.indices, graph.weights, kernel="gaussian").max() < 2e-6
    assert set(local_pca(x, k=K).dimension) == {1}
    assert abs(two_nn(x).dimension[0] - 1) < 0.5
    assert 0.5 < levina_bickel(x, k=K).average[0] < 2
    metrics = manifold_metrics(x, k=K)
    # All directions are one of two, and every candidate is a copy.
    assert metrics.degenerate.all() and set(metrics.nnk_degree) == {1}


def test_a_hundred_thousand_features() -> None:
    x = np.random.default_rng(4).standard_normal((16, 100_000)).astype(np.float32)
    graph = knn_graph(x, k=3)
    check_neighbours(graph.indices, graph.distances, x, "cosine")
    metrics = manifold_metrics(x, k=3)
    gaps = np.sqrt(squared_gaps(unit_rows(x)) + 9 * np.eye(16))
    np.testing.assert_allclose(metrics.knn_distance, gaps.min(axis=1).astype(float), rtol=1e-9)
    assert metrics.nnk_kkt.max() < 1e-9 and set(metrics.nnk_degree) == {3}
    values = np.linalg.svd(x.astype(np.float64), compute_uv=False)
    np.testing.assert_allclose(spectrum(x).singular_values, values, rtol=1e-9)
    assert abs(mean_cosine(x)) < 1e-2 and abs(uniformity(x) + 4) < 0.02


def test_distances_do_not_depend_on_where_the_cloud_lies() -> None:
    # Multiples of 1/16 keep all their digits there.
    x = np.round(16 * ordinary()) / 16
    still, moved = (knn_graph(y, k=K, metric="euclidean") for y in (x, x + np.float32(2.0**18)))
    np.testing.assert_array_equal(still.indices, moved.indices)
    np.testing.assert_array_equal(still.distances, moved.distances)


def test_default_precision_of_products_does_not_matter() -> None:
    x = ordinary()
    graph, pca = knn_graph(x, k=K), local_pca(x, k=K)
    with jax.default_matmul_precision("bfloat16"):
        np.testing.assert_array_equal(knn_graph(x, k=K).distances, graph.distances)
        np.testing.assert_allclose(local_pca(x, k=K).spectrum, pca.spectrum, rtol=ONE_ROUNDING)
