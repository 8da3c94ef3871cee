"""The authors' later measures against the same formulas in float64 NumPy and SciPy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial.distance as distance
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax import curvature_angles, multiscale, nnk_graph, pca_components
from mgm_jax.errors import InputError
from mgm_jax.geometry.nnk.bandwidth import hurtado_bandwidth
from mgm_jax.geometry.points.groups import encode_groups
from mgm_jax.geometry.variants.angles import random_partners
from mgm_jax.geometry.variants.multiscale import merged
from mgm_jax.metrics import manifold_metrics

N, D, K = 60, 12, 20
GROUPS = np.repeat([0, 1, 2], 20)


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, D)) * np.geomspace(1, 0.2, D)
    return (x + 3 * rng.standard_normal(D)).astype(np.float32)


def components(x: np.ndarray, row: int, chosen: np.ndarray, threshold: float) -> np.ndarray:
    """Orthonormal columns: components of the differences, by a singular value decomposition."""
    differences = x[chosen].astype(np.float64) - x[row].astype(np.float64)
    _, values, vectors = np.linalg.svd(differences - differences.mean(axis=0), full_matrices=False)
    variances = values**2
    enough = (variances >= threshold * variances.max()) & (variances.max() > 1e-20)
    return vectors[enough].T


@pytest.mark.slow
def test_bandwidth_is_a_third_of_the_mean_squared_distance_to_the_15th(points: np.ndarray) -> None:
    apart = distance.cdist(points.astype(np.float64), points.astype(np.float64), "sqeuclidean")
    expected = np.sort(apart, axis=1)[:, 15].mean() / 3
    np.testing.assert_allclose(hurtado_bandwidth(points), expected, rtol=1e-6)
    # In their form of the kernel, exp(-d^2 / (2 s)), s is its square.
    named = nnk_graph(points, k=K, kernel="gaussian", bandwidth="hurtado")
    told = nnk_graph(points, k=K, kernel="gaussian", bandwidth=expected)
    np.testing.assert_array_equal(named.weights > 0, told.weights > 0)
    np.testing.assert_allclose(named.weights, told.weights, atol=1e-6)


def test_bandwidth_is_one_a_group_of_the_points_that_the_kernel_sees(points: np.ndarray) -> None:
    widths = hurtado_bandwidth(points, groups=GROUPS)
    for group in range(3):
        alone = hurtado_bandwidth(points[group == GROUPS])
        np.testing.assert_array_equal(widths[group == GROUPS], alone)
    unit = points / np.linalg.norm(points.astype(np.float64), axis=1, keepdims=True)
    told = hurtado_bandwidth(unit, groups=GROUPS)
    ours = manifold_metrics(points, groups=GROUPS, kernel="gaussian", bandwidth="hurtado")
    theirs = manifold_metrics(points, groups=GROUPS, kernel="gaussian", bandwidth=told)
    np.testing.assert_array_equal(ours.nnk_degree, theirs.nnk_degree)


def test_components_and_diameter_against_singular_values(points: np.ndarray) -> None:
    graph = nnk_graph(points, k=K, kernel="gaussian", bandwidth="hurtado")
    result = pca_components(points, graph=graph)
    wide = points.astype(np.float64)
    for row in range(N):
        chosen = graph.indices[row][graph.weights[row] > 0]
        assert result.nnk[row] == components(points, row, chosen, 0.1).shape[1]
        assert result.knn[row] == components(points, row, graph.indices[row], 0.1).shape[1]
        np.testing.assert_allclose(
            result.diameter[row], distance.pdist(wide[chosen]).max(), rtol=1e-9
        )
    np.testing.assert_array_equal(result.degree, graph.degree)


@pytest.mark.parametrize("kernel", ["gaussian", "cosine"])
def test_angles_against_scipy(points: np.ndarray, kernel: str) -> None:
    groups = GROUPS if kernel == "cosine" else None
    graph = nnk_graph(points, k=19, kernel=kernel, groups=groups)
    result = curvature_angles(points, graph=graph, groups=groups, threshold=0.3)
    x = points.astype(np.float64)
    if kernel == "cosine":
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    spaces = [
        components(x, row, graph.indices[row][graph.weights[row] > 0], 0.3) for row in range(N)
    ]
    for row in range(N):
        order = [j for j in graph.indices[row][graph.weights[row] > 0] if spaces[j].size]
        assert result.neighbour[row] == order[0]
        assert result.partner[row] != row
        if kernel == "cosine":
            assert GROUPS[result.partner[row]] == GROUPS[row]
        near = np.degrees(scipy.linalg.subspace_angles(spaces[row], spaces[order[0]]))
        other = np.degrees(scipy.linalg.subspace_angles(spaces[row], spaces[result.partner[row]]))
        # Under the cosine the points are scaled in float32.
        tolerance = 2e-2 if kernel == "cosine" else 1e-5
        np.testing.assert_allclose(result.near_mean[row], near.mean(), atol=tolerance)
        np.testing.assert_allclose(result.near_largest[row], near.max(), atol=tolerance)
        np.testing.assert_allclose(result.random_mean[row], other.mean(), atol=tolerance)
        np.testing.assert_allclose(result.random_largest[row], other.max(), atol=tolerance)


def test_a_plane_has_two_components_and_no_curvature() -> None:
    rng = np.random.default_rng(1)
    frame = np.linalg.qr(rng.standard_normal((D, 2)))[0]
    plane = rng.uniform(size=(N, 2)) @ frame.T
    result, counted = curvature_angles(plane), pca_components(plane)
    assert counted.knn.max() == 2
    full = counted.nnk == 2
    assert full.mean() > 0.5
    near, other = full & full[result.neighbour], full & full[result.partner]
    assert result.near_largest[near].max() < 1e-2 and result.random_largest[other].max() < 1e-2


def test_a_circle_has_the_angle_between_its_tangents() -> None:
    turn = np.arange(N) * 2 * np.pi / N
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    graph = nnk_graph(circle, k=2, kernel="gaussian", bandwidth=1.0)
    result = curvature_angles(circle, graph=graph)
    np.testing.assert_allclose(result.near_mean, 360 / N, atol=1e-3)


def test_points_without_components_have_no_angle_and_are_nobodys_partner() -> None:
    line = np.arange(4.0)[:, None] * np.ones((1, 3))
    graph = nnk_graph(line, k=1, kernel="gaussian", bandwidth=1.0)
    result = curvature_angles(line, graph=graph)
    assert (result.neighbour == -1).all() and (result.partner == -1).all()
    assert np.isnan(result.near_mean).all() and np.isnan(result.random_largest).all()
    assert not pca_components(line, graph=graph).nnk.any()


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=30))
def test_random_partners_are_other_eligible_members(drawn: list[tuple[int, bool]]) -> None:
    codes = np.array([code for code, _ in drawn])
    eligible = np.array([able for _, able in drawn])
    partners = random_partners(encode_groups(codes, codes.size), eligible, seed=0)
    for row, partner in enumerate(partners):
        others = eligible & (codes == codes[row]) & (np.arange(codes.size) != row)
        if eligible[row] and others.any():
            assert others[partner]
        else:
            assert partner == -1


def test_pairs_of_largest_weight_become_their_midpoints() -> None:
    x = np.array([[0.0], [0.1], [5.0], [5.3], [9.0]], np.float32)
    graph = nnk_graph(x, k=2, kernel="gaussian", bandwidth=1.0)
    assert sorted(merged(x, graph, pairs=1)[:, 0].tolist()) == pytest.approx([0.05, 5, 5.3, 9])
    assert sorted(merged(x, graph, pairs=2)[:, 0].tolist()) == pytest.approx([0.05, 5.15, 9])


@pytest.mark.slow
def test_scales_start_with_the_points_and_grow_coarser(points: np.ndarray) -> None:
    result = multiscale(points, k=K, scales=3, share=0.2)
    assert result.points.tolist() == [60, 48, 38]
    graph = nnk_graph(points, k=K, kernel="gaussian", bandwidth="hurtado")
    fine = pca_components(points, graph=graph)
    angles = curvature_angles(points, graph=graph)
    first = result.to_pandas().iloc[0]
    assert first["degree"] == pytest.approx(graph.degree.mean())
    assert first["nnk_components"] == pytest.approx(fine.nnk.mean())
    assert first["diameter"] == pytest.approx(np.nanmean(fine.diameter))
    assert first["near_angle"] == pytest.approx(np.nanmean(angles.near_mean))
    assert first["random_angle_sd"] == pytest.approx(np.nanstd(angles.random_mean))
    assert result.mean["diameter"][-1] > result.mean["diameter"][0], "neighbours move apart"


def test_repeated_points_count_once(points: np.ndarray) -> None:
    once = multiscale(points, k=K, scales=1)
    twice = multiscale(np.concatenate([points, points[:10]]), k=K, scales=1)
    assert once.to_pandas().equals(twice.to_pandas())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: pca_components(x, threshold=0), "threshold must be above 0"),
        (lambda x: curvature_angles(x, graph=nnk_graph(x[:30], k=5)), "graph must be of the 60"),
        (lambda x: multiscale(x, share=0.6), "share must be above 0 and at most 0.5"),
        (lambda x: multiscale(x[:10]), "at least 16 distinct points; got 10"),
        (lambda x: nnk_graph(x, k=5, kernel="gaussian", bandwidth="scott"), "or 'hurtado'"),
        (lambda x: nnk_graph(x, k=5, bandwidth="hurtado"), "belongs to kernel='gaussian'"),
        (lambda x: hurtado_bandwidth(x[:1].repeat(20, axis=0)), "points that differ"),
    ],
)
def test_impossible_options_are_named(points: np.ndarray, call, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call(points)


def test_a_kernel_that_reaches_no_neighbour_is_told_of() -> None:
    """By the authors' rule a bandwidth falls with the square of the scale."""
    points = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    with pytest.warns(UserWarning, match="of 40 points have no neighbour: .* Scale the points"):
        graph = nnk_graph(points / 1000, k=5, kernel="gaussian", bandwidth="hurtado")
    assert not graph.weights.any()
    with pytest.warns(UserWarning, match="40 of 40 points have no neighbour"):
        manifold_metrics(points, k=5, kernel="gaussian", normalize=False, bandwidth=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nnk_graph(points, k=5, kernel="gaussian", bandwidth="hurtado")
        nnk_graph(points / 1000, k=5, kernel="gaussian")
