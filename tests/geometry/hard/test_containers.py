"""The same points in any container give the same result; arrays are not copied nor changed."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from mgm_jax.geometry.knn.graph import knn_graph
from mgm_jax.geometry.nnk.graph import nnk_graph
from mgm_jax.geometry.points.checks import check_points, find_duplicates
from mgm_jax.geometry.points.rounding import refuse_lost_digits
from mgm_jax.metrics import manifold_metrics
from tests.geometry.hard.hard_clouds import MEASURES, K, N, ordinary

# Values that every type holds exactly.
X = np.round(8 * ordinary()) + np.float32(0.5) * (np.arange(N) % 2)[:, None].astype(np.float32)


def _memory_mapped(folder: Path) -> np.ndarray:
    X.tofile(folder / "points.f32")
    return np.memmap(folder / "points.f32", np.float32, mode="r", shape=X.shape)


def _read_only(_: Path) -> np.ndarray:
    points = X.copy()
    points.flags.writeable = False
    return points


def _tensor(**options: Any) -> Callable[[Path], Any]:
    """The points as a tensor of PyTorch, in a type that holds them exactly."""

    def make(_: Path) -> Any:
        torch = pytest.importorskip("torch")
        options["dtype"] = getattr(torch, options.get("dtype", "float32"))
        return torch.tensor(X, **options)

    return make


CONTAINERS: dict[str, Callable[[Path], Any]] = {
    "lists": lambda _: X.tolist(),
    "tuples of arrays": lambda _: tuple(X),
    "float64": lambda _: X.astype(np.float64),
    "float16": lambda _: X.astype(np.float16),
    "extended precision": lambda _: X.astype(np.longdouble),
    "big-endian": lambda _: X.astype(">f4"),
    "columns first": lambda _: np.asfortranarray(X),
    "transposed": lambda _: np.ascontiguousarray(X.T).T,
    "backwards in memory": lambda _: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "every other value": lambda _: np.repeat(np.repeat(X, 2, 0), 2, 1)[::2, ::2],
    "read-only": _read_only,
    "memory-mapped": _memory_mapped,
    "masked nowhere": lambda _: np.ma.masked_array(X, mask=False),
    "matrix": lambda _: np.asmatrix(X),
    "data frame": lambda _: pd.DataFrame(X, index=range(N, 0, -1)),
    "data frame of several types": lambda _: pd.DataFrame(X).astype({0: np.float64}),
    "data frame that may have gaps": lambda _: pd.DataFrame(X).astype("Float64"),
    "tensor with gradients": _tensor(requires_grad=True),
    "tensor in bfloat16": _tensor(dtype="bfloat16"),
    "tensor transposed": lambda folder: _tensor()(folder).T.contiguous().T,
    "JAX": lambda _: jnp.asarray(X),
    "bfloat16 on the host": lambda _: np.asarray(jnp.asarray(X, jnp.bfloat16)),
    "bfloat16": lambda _: jnp.asarray(X, jnp.bfloat16),
}


@pytest.fixture(scope="module")
def expected() -> dict[str, dict[str, np.ndarray]]:
    return {name: measure(X) for name, measure in MEASURES.items()}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_the_container_does_not_matter(
    kind: str, tmp_path: Path, expected: dict[str, dict[str, np.ndarray]]
) -> None:
    points = CONTAINERS[kind](tmp_path)
    for name, measure in MEASURES.items():
        for column, values in measure(points).items():
            # bfloat16 values are exact, and so are all computations but for their order.
            np.testing.assert_allclose(
                values, expected[name][column], rtol=1e-6, atol=1e-6, err_msg=f"{name}: {column}"
            )


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int64, np.uint64])
def test_integers_are_numbers(dtype: type) -> None:
    whole = np.abs(np.round(X)).astype(dtype)
    for measure in (MEASURES["knn euclidean"], MEASURES["nnk cosine"], MEASURES["rankme"]):
        got, values = measure(whole), measure(whole.astype(np.float32))
        for column, expected_values in values.items():
            np.testing.assert_array_equal(got[column], expected_values)


def test_64_bits_switched_on_do_not_matter(expected: dict[str, dict[str, np.ndarray]]) -> None:
    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else pytest.skip("an older JAX"):
        for name in ("knn cosine", "nnk cosine", "local pca", "uniformity", "mean cosine"):
            for points in (X, jnp.asarray(X, jnp.float64)):
                for column, values in MEASURES[name](points).items():
                    np.testing.assert_array_equal(values, expected[name][column])


def test_points_are_left_as_they_were() -> None:
    points = X.copy()
    for measure in MEASURES.values():
        measure(points)
    np.testing.assert_array_equal(points, X)


@pytest.mark.parametrize("kind", ["read-only", "memory-mapped", "columns first", "JAX"])
def test_points_that_fit_are_not_copied(kind: str, tmp_path: Path) -> None:
    points = CONTAINERS[kind](tmp_path)
    checked = check_points(points)
    if kind == "JAX":
        assert checked is points
    else:
        assert np.shares_memory(checked, points)


def test_a_memory_mapped_file_is_read_block_by_block(tmp_path: Path) -> None:
    rows, width = 2**16, 512
    points = np.memmap(tmp_path / "points.f32", np.float32, mode="w+", shape=(rows, width))
    points[:] = np.arange(1, rows + 1, dtype=np.float32)[:, None]
    tracemalloc.start()
    codes = find_duplicates(check_points(points, cosine=True))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(codes, np.arange(rows))
    assert peak < points.nbytes / 8


def test_wide_numbers_are_compared_block_by_block(tmp_path: Path) -> None:
    points = np.ones((2**14, 1024)) * np.arange(2**14)[:, None]
    rounded = points.astype(np.float32)
    tracemalloc.start()
    refuse_lost_digits(points, rounded, name="x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * points.nbytes


@pytest.mark.parametrize("k", [np.int64(K), np.uint8(K)])
def test_k_may_be_an_integer_of_numpy(k: Any) -> None:
    graph = knn_graph(X, k=k)
    np.testing.assert_array_equal(graph.indices, MEASURES["knn cosine"](X)["indices"])
    assert nnk_graph(X, k=k).weights.shape == (N, K)
    assert (manifold_metrics(X, k=k).k_effective == K).all()


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
def test_two_points_are_enough(dtype: Any) -> None:
    two = jnp.asarray(ordinary()[:2], dtype)
    for metric in ("cosine", "sqeuclidean", "euclidean"):
        assert knn_graph(two, k=1, metric=metric).indices.tolist() == [[1], [0]]
    graph = nnk_graph(two)
    assert graph.indices.tolist() == [[1], [0]] and graph.k_effective.tolist() == [1, 1]
    metrics = manifold_metrics(two)
    assert metrics.nnk_degree.tolist() == [1, 1] and np.isnan(metrics.nnk_diameter).all()
    unit = np.asarray(two, np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    gap = np.linalg.norm(unit[0] - unit[1])
    np.testing.assert_allclose(metrics.nnk_radius, gap, rtol=1e-12)
    np.testing.assert_allclose(graph.weights, 1 - gap**2 / 4, rtol=1e-12)
