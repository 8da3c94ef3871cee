"""Distances of points of very different sizes: right, or refused where float32 has no number."""

from __future__ import annotations

import numpy as np
import pytest

from mgm_jax.errors import InputError
from mgm_jax.geometry.cloud.intrinsic_dimension import levina_bickel, two_nn
from mgm_jax.geometry.knn.graph import knn_graph
from tests.geometry.hard.hard_clouds import GROUPS, K, clouds, ordinary
from tests.geometry.hard.oracles import check_neighbours

CLOUDS = clouds()


@pytest.mark.parametrize("groups", [None, GROUPS], ids=["one cloud", "groups"])
@pytest.mark.parametrize("kind", ["1e30 and 1e-30", "lengths over 20 decades", "1e-30"])
def test_lengths_over_many_decades(kind: str, groups: np.ndarray | None) -> None:
    x = CLOUDS[kind]
    graph = knn_graph(x, k=K, metric="euclidean", groups=groups)
    check_neighbours(graph.indices, graph.distances, x, "euclidean", groups=groups)
    assert (graph.distances > 0).all()


def test_squares_over_many_decades() -> None:
    x = CLOUDS["lengths over 20 decades"]
    graph = knn_graph(x, k=K, metric="sqeuclidean")
    check_neighbours(graph.indices, graph.distances, x, "sqeuclidean")
    assert (graph.distances > 0).all()


@pytest.mark.parametrize("groups", [None, GROUPS], ids=["one cloud", "groups"])
@pytest.mark.parametrize(
    ("kind", "message"),
    [("1e30", "above 3.4e38. Divide"), ("1e-30", "below 1.2e-38. Multiply")],
)
def test_squares_without_a_number_are_refused(
    kind: str, message: str, groups: np.ndarray | None
) -> None:
    with pytest.raises(InputError, match=f"sqeuclidean distances .* {message} the points"):
        knn_graph(CLOUDS[kind], k=K, metric="sqeuclidean", groups=groups)


def test_lengths_without_a_number_are_refused() -> None:
    x = np.clip(ordinary(), -1, 1) * np.float32(3e38)
    for measure in (
        lambda: knn_graph(x, k=K, metric="euclidean"),
        lambda: two_nn(x),
        lambda: levina_bickel(x, k=K),
    ):
        with pytest.raises(InputError, match=r"euclidean distances .* above 3\.4e38\. Divide"):
            measure()


def test_equal_squares_are_zero_and_no_error() -> None:
    x = np.repeat(ordinary()[:6], 8, axis=0)
    with pytest.warns(UserWarning, match="equal an earlier row"):
        graph = knn_graph(x, k=K, metric="sqeuclidean")
    assert not graph.distances.any()
