"""The graph against all distances in float64: every index and every distance equal."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from mgm_jax.errors import InputError
from mgm_jax.geometry.knn.cpu.pair_distances import _distances
from mgm_jax.geometry.knn.distance import Metric, ScanTable, half_distance_bounds, scan, scan_table
from mgm_jax.geometry.knn.graph import KnnGraph, knn_graph
from tests.geometry.neighbour_oracle import clouds, nearest

ONE_ROUNDING = 2.0**-23
KINDS = tuple(clouds())
NO_WARNING = pytest.mark.filterwarnings("ignore:.*equal an earlier row")


@NO_WARNING
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("metric", "precision"),
    [("cosine", "bfloat16"), ("euclidean", "float32"), ("sqeuclidean", "bfloat16")],
)
def test_graph_is_the_exact_one(kind: str, metric: Metric, precision: str) -> None:
    x = clouds()[kind]
    graph = knn_graph(x, k=7, metric=metric, precision=precision, tile_columns=64)
    indices, distances = nearest(x, k=7, metric=metric)
    np.testing.assert_array_equal(graph.indices, indices)
    np.testing.assert_allclose(graph.distances, distances, rtol=ONE_ROUNDING)
    assert graph.indices.dtype == np.int32 and graph.distances.dtype == np.float32


def test_scikit_learn_agrees() -> None:
    x = clouds()["post-ReLU features"]
    graph = knn_graph(x, k=5, metric="euclidean")
    found = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(x.astype(np.float64))
    distances, indices = found.kneighbors()
    np.testing.assert_array_equal(graph.indices, indices)
    np.testing.assert_allclose(graph.distances, distances, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "columns"), [(1, 16), (40, 50), (96, 1), (1000, 1000)])
def test_tiles_change_nothing(rows: int, columns: int) -> None:
    x = clouds()["views of few images"]
    graph = knn_graph(x, k=7, precision="bfloat16", tile_rows=rows, tile_columns=columns)
    plain = knn_graph(x, k=7, precision="float32")
    np.testing.assert_array_equal(graph.indices, plain.indices)
    np.testing.assert_array_equal(graph.distances, plain.distances)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), levels=st.sampled_from([2, 5, 1000]))
def test_order_of_points_changes_nothing_but_ties(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    # Few levels make many equal distances, which is where an order could show.
    x = rng.integers(0, levels, (96, 96)).astype(np.float32) + 1
    order = rng.permutation(96)
    graph, moved = (knn_graph(y, k=7, metric="euclidean") for y in (x, x[order]))
    np.testing.assert_array_equal(moved.distances, graph.distances[order])
    np.testing.assert_array_equal(graph.indices, nearest(x, k=7, metric="euclidean")[0])


def test_the_same_shapes_compile_once() -> None:
    x = clouds()["post-ReLU features"]
    knn_graph(x, k=7, precision="bfloat16")
    compiled = half_distance_bounds, scan_table, _distances
    before = [function._cache_size() for function in compiled]
    knn_graph(x[10:] * np.float32(3), k=9, precision="bfloat16")
    assert [function._cache_size() for function in compiled] == before


def test_the_matrix_of_all_pairs_never_exists() -> None:
    n, rows = 16384, 256

    def table(size: int) -> ScanTable:
        one = jax.ShapeDtypeStruct((size,), jnp.float32)
        return ScanTable(jax.ShapeDtypeStruct((size, 8), jnp.float32), one, one, one)

    own = jax.ShapeDtypeStruct((rows,), jnp.int32)
    lowered = scan.lower(table(rows), own, table(n), count=64, tile=1024)
    memory = lowered.compile().memory_analysis()
    assert memory.temp_size_in_bytes < n * n * 4 / 64


def test_ties_go_to_the_smaller_index_on_a_lattice() -> None:
    x = clouds()["lattice"]
    middle = int(np.flatnonzero((x[:, :3] == 3).all(axis=1))[0])
    graph = knn_graph(x, k=6, metric="sqeuclidean")
    assert graph.distances[middle].tolist() == [1] * 6
    assert graph.indices[middle].tolist() == sorted(graph.indices[middle].tolist())


def test_rows_beyond_the_certificate_are_redone() -> None:
    graph = knn_graph(clouds()["all at one distance"], k=3)
    assert not graph.certified.any()
    assert graph.indices[0].tolist() == [1, 2, 3] and graph.indices[9].tolist() == [0, 1, 2]
    assert knn_graph(clouds()["post-ReLU features"], k=3, precision="float32").certified.all()


@pytest.mark.parametrize("scale", [1e-18, 1e12])
def test_scale_changes_the_distances_alone(scale: float) -> None:
    x = clouds()["post-ReLU features"]
    factor = np.float32(2.0 ** round(np.log2(scale)))
    graph, scaled = (knn_graph(y, k=5, metric="euclidean") for y in (x, x * factor))
    np.testing.assert_array_equal(graph.indices, scaled.indices)
    np.testing.assert_array_equal(graph.distances * factor, scaled.distances)


@pytest.mark.parametrize("kind", ["numpy", "jax", "bfloat16", "list"])
def test_any_array_will_do(kind: str) -> None:
    x = clouds()["two dimensions"]
    if kind == "bfloat16":
        points = jnp.asarray(x, jnp.bfloat16)
        x = np.asarray(points.astype(jnp.float32))
    else:
        points = {"numpy": x, "jax": jnp.asarray(x), "list": x.tolist()}[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = knn_graph(points, k=7, metric="euclidean")
    np.testing.assert_array_equal(graph.indices, nearest(x, k=7, metric="euclidean")[0])


@pytest.mark.parametrize("kind", ["post-ReLU features", "repeated rows"])
@NO_WARNING
def test_neighbours_in_another_set(kind: str) -> None:
    x, base = clouds()["post-ReLU features"][:30], clouds()[kind]
    graph = knn_graph(x, k=6, base=base)
    indices, distances = nearest(x, k=6, metric="cosine", base=base)
    np.testing.assert_array_equal(graph.indices, indices)
    np.testing.assert_allclose(graph.distances, distances, rtol=ONE_ROUNDING)


def test_duplicates_warn_and_stay() -> None:
    x = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], np.float32)
    with pytest.warns(UserWarning, match=r"1 rows of x equal an earlier row \(rows 1\)"):
        graph = knn_graph(x, k=1, metric="euclidean")
    assert graph.indices.T.tolist() == [[1, 0, 3, 0]]
    assert graph.distances.T.tolist() == [[0, 0, 1, 1]]


def test_duplicates_drop_and_raise() -> None:
    x = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], np.float32)
    graph = knn_graph(x, k=1, metric="euclidean", duplicates="drop")
    assert graph.indices.T.tolist() == [[3, 3, 3, 0]]
    with pytest.raises(InputError, match=r"1 rows of x equal.*rows 1"):
        knn_graph(x, k=1, duplicates="raise")
    with pytest.raises(InputError, match="too few distinct points"):
        knn_graph(x, k=3, duplicates="drop")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 40}, "k = 40.*: 40"),
        ({"k": 0}, "k must be a whole number of at least 1; got 0"),
        ({"k": 3, "metric": "manhattan"}, "metric must be one of cosine"),
        ({"k": 3, "duplicates": "keep"}, "duplicates must be one of warn"),
        ({"k": 3, "precision": "float16"}, "precision must be one of auto"),
        ({"k": 3, "tile_rows": 0}, "tile_rows"),
        ({"k": 3, "base": np.ones((9, 3))}, "columns as x, 96; got 3"),
        ({"k": 3, "base": np.ones((9, 96)), "groups": np.zeros(40, int)}, "exclude each other"),
        ({"k": 2, "groups": [0] * 38 + [7] * 2}, r"groups 7 \(2\)"),
    ],
)
def test_unusable_options_are_described(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        knn_graph(clouds()["two dimensions"][:40], **options)


def test_distances_beyond_float32_are_refused() -> None:
    x = clouds()["two dimensions"][:40] * np.float32(1e30)
    with pytest.raises(InputError, match="fit into float32"):
        knn_graph(x, k=3, metric="sqeuclidean")


def test_graph_shows_itself() -> None:
    graph = KnnGraph(
        indices=np.array([[1, 2], [0, 2], [1, 0]], np.int32),
        distances=np.array([[1, 2], [1, 1], [1, 2]], np.float32),
        certified=np.array([True, True, False]),
        metric="euclidean",
    )
    table = graph.to_pandas()
    assert table.columns.tolist() == ["source", "target", "rank", "distance"]
    assert table.iloc[3].tolist() == [1, 2, 2, 1]
    doubled = jax.tree.map(lambda part: part + part, graph)
    assert doubled.metric == "euclidean" and doubled.distances[0].tolist() == [2, 4]
    assert "3 points, k=2, euclidean" in repr(graph) and "<table" in graph._repr_html_()
