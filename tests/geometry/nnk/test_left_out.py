"""Regressions on all other members of a group, from the one kernel matrix of the group."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls

from mgm_jax.geometry.nnk.graph import nnk_graph
from mgm_jax.geometry.nnk.left_out import are_apart, group_kernels, host_distances
from mgm_jax.geometry.nnk.solve import SUPPORT_WEIGHT
from mgm_jax.metrics.manifold import manifold_metrics

SIZES = (24, 23, 12)


def _groups(kind: str) -> list[np.ndarray]:
    """Groups whose points have nearly all others as neighbours, or few of them."""
    rng = np.random.default_rng(3)
    if kind == "many":
        return [np.maximum(rng.normal(size=(size, 400)), 0) for size in SIZES]
    return [
        rng.normal(size=(size, 4)) @ rng.normal(size=(4, 64)) + 0.1 * rng.normal(size=(size, 64))
        for size in SIZES
    ]


def _unit(points: np.ndarray) -> np.ndarray:
    wide = points.astype(np.float32).astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["many", "few"])
def test_weights_are_those_of_scipy_from_either_side(kind):
    groups = _groups(kind)
    codes = np.repeat(np.arange(len(groups)), SIZES)
    graph = nnk_graph(np.concatenate(groups), groups=codes)
    row = 0
    for points in groups:
        unit = _unit(points)
        kernel = (1 + unit @ unit.T) / 2
        for own in range(len(points)):
            others = np.delete(np.arange(len(points)), own)
            order = others[np.argsort(-kernel[own, others])]
            factor = np.linalg.cholesky(kernel[np.ix_(order, order)])
            expected, _ = nnls(factor.T, np.linalg.solve(factor, kernel[own, order]))
            k = order.size
            np.testing.assert_array_equal(graph.indices[row, :k], order + row - own)
            assert (graph.indices[row, k:] == -1).all()
            expected[expected <= SUPPORT_WEIGHT] = 0
            np.testing.assert_allclose(graph.weights[row, :k], expected, atol=1e-10)
            row += 1
    assert graph.kkt.max() < 1e-14


def test_the_side_that_is_nearer_to_the_solution_is_taken():
    for kind, wanted in (("many", True), ("few", False)):
        for points in _groups(kind):
            unit = _unit(points)
            mask = np.ones((1, len(unit)), bool)
            kernels = group_kernels(host_distances((unit @ unit.T)[None]), mask)
            assert kernels.outward.tolist() == [wanted]
            inverse = np.linalg.inv(kernels.kernel[0]) if wanted else 0
            np.testing.assert_allclose(kernels.inverse[0], inverse, atol=1e-9)


def test_a_group_with_copies_is_as_when_each_point_has_a_matrix_of_its_own(monkeypatch):
    points, *_ = _groups("many")
    points[5] = points[3] * 2
    points[9] = points[8] * (1 + 2.0**-23)
    gram = (_unit(points) @ _unit(points).T)[None]
    assert not are_apart(host_distances(gram), np.ones((1, 24), bool), np.ones((1, 24))).any()
    graph, columns = nnk_graph(points), manifold_metrics(points)
    np.testing.assert_array_equal(columns.nnk_degree, graph.degree)
    np.testing.assert_allclose(columns.nnk_residual, graph.residual, atol=1e-12)
    monkeypatch.setattr("mgm_jax.geometry.nnk.graph.suits_left_out", lambda kernel: False)
    expected = nnk_graph(points)
    np.testing.assert_array_equal(graph.indices, expected.indices)
    np.testing.assert_allclose(graph.weights, expected.weights, atol=1e-9)
