"""The two ways to Gram matrices of differences against the differences themselves."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.geometry.backend import row_products
from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.nnk import grams_from_cloud
from mgm_jax.geometry.nnk.grams_from_cloud import look_up_differences
from mgm_jax.geometry.nnk.grams_on_host import (
    gathered_grams_on_host,
    group_grams_on_host,
    unit_grams_on_host,
)
from mgm_jax.geometry.nnk.graph import nnk_graph
from mgm_jax.geometry.nnk.neighbourhood import (
    all_in_group,
    chosen_in_group,
    differences_in_group,
    from_differences,
    gathered_gram,
    group_gram,
    nearest_in_group,
    prepare,
)
from tests.geometry.clouds import cloud, nearest, squared_gaps, unit

SIZE, PADDED, K = 21, 24, 7


def _through_group(points: np.ndarray, *, normalize: bool) -> tuple[np.ndarray, ...]:
    padded = np.concatenate([points, np.full((PADDED - len(points), points.shape[1]), 7.0)])
    mask = np.arange(PADDED) < len(points)
    with double_precision():
        gram, lengths = group_gram(padded, mask, normalize=normalize)
        positions, result = nearest_in_group(gram, mask, lengths, k=K, wanted=K)
        parts = positions, result, differences_in_group(gram, positions), lengths
        return tuple(np.asarray(part)[: len(points)] for part in parts)


@pytest.mark.slow
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("kind", ["random", "views_1e-3"])
def test_both_ways_give_the_differences_of_the_nearest(kind, normalize):
    points = cloud(kind, n=240)[:SIZE]
    placed = unit(points) if normalize else points.astype(np.float64)
    candidates = nearest(squared_gaps(placed), K)
    differences = placed[candidates] - placed[:, None]
    expected = differences @ differences.transpose(0, 2, 1)
    positions, result, gram, lengths = _through_group(points, normalize=normalize)
    with double_precision():
        gathered, gathered_lengths = gathered_gram(
            jnp.asarray(points), np.arange(SIZE), candidates, normalize=normalize
        )
        gathered, gathered_lengths = np.asarray(gathered), np.asarray(gathered_lengths)
    np.testing.assert_array_equal(positions, candidates)
    assert result.all()
    scale = (placed**2).sum(axis=1).max()
    np.testing.assert_allclose(gram, expected, atol=2e-14 * scale)
    np.testing.assert_allclose(gathered, expected, atol=1e-15 * scale)
    for got in (lengths, gathered_lengths):
        np.testing.assert_allclose(got, (placed**2).sum(axis=1), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["random", "views_1e-3"])
def test_candidates_have_the_distances_of_the_points(kind):
    points = cloud(kind, n=240)[:SIZE]
    points[5] = points[2]
    padded = np.concatenate([points, np.full((PADDED - SIZE, points.shape[1]), 7.0)])
    mask = np.arange(PADDED) < SIZE
    gaps = squared_gaps(points)
    with double_precision():
        gram, lengths = group_gram(padded, mask, normalize=False)
        every = all_in_group(gram, mask, lengths)
        positions, result = nearest_in_group(gram, mask, lengths, k=K, wanted=K)
        subset = chosen_in_group(gram, positions, result, lengths)
        again = from_differences(differences_in_group(gram, positions), result, lengths)
    everyone, real = np.arange(PADDED) != np.arange(SIZE)[:, None], slice(0, SIZE)
    np.testing.assert_array_equal(np.asarray(every.mask)[real], everyone & mask)
    for candidates, chosen in (
        (every, np.broadcast_to(np.arange(SIZE), (SIZE, SIZE))),
        (subset, np.asarray(positions)[real]),
        (again, np.asarray(positions)[real]),
    ):
        columns = slice(0, chosen.shape[1])
        among = np.asarray(candidates.among)[real, columns, columns]
        to_point = np.asarray(candidates.to_point)[real, columns]
        close = {"atol": 1e-12 * gaps.max()}
        np.testing.assert_allclose(among, gaps[chosen[:, :, None], chosen[:, None]], **close)
        np.testing.assert_allclose(to_point, np.take_along_axis(gaps, chosen, axis=1), **close)
        assert (among[gaps[chosen[:, :, None], chosen[:, None]] == 0] == 0).all()


def test_equal_points_come_in_the_order_of_their_places():
    points = np.repeat(cloud("random", n=7), 3, axis=0)
    positions, result, _, _ = _through_group(points, normalize=True)
    twins = [[j for j in range(3 * (i // 3), 3 * (i // 3) + 3) if j != i] for i in range(SIZE)]
    assert positions[:, :2].tolist() == twins
    assert result.all()


def test_no_more_candidates_than_members_or_wanted():
    points = np.zeros((PADDED, 4))
    points[:3] = np.eye(4)[:3]
    mask = np.arange(PADDED) < 3
    with double_precision():
        gram, lengths = group_gram(points, mask, normalize=True)
        counts = [
            np.asarray(nearest_in_group(gram, mask, lengths, k=K, wanted=wanted)[1])[:3].sum(1)
            for wanted in (K, 1)
        ]
    assert [count.tolist() for count in counts] == [[2, 2, 2], [1, 1, 1]]


def test_lengths_at_the_ends_of_float32_are_normalised():
    points = np.array([[3e38, 3e38], [1e-37, 0], [0, 0]], np.float32)
    with double_precision():
        got = np.asarray(prepare(points, normalize=True))
    np.testing.assert_allclose(got, [[0.5**0.5, 0.5**0.5], [1, 0], [0, 0]], rtol=1e-15)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("kind", ["random", "views_1e-3"])
def test_the_host_makes_the_gram_matrices_of_the_device(kind, normalize):
    points = cloud(kind, n=240)[: 3 * PADDED].reshape(3, PADDED, -1)
    mask = np.arange(PADDED) < np.array([PADDED, SIZE, 0])[:, None]
    rows = np.arange(mask.size).reshape(mask.shape)
    flat = points.reshape(mask.size, -1)
    gram, lengths = group_grams_on_host(flat, rows, mask, normalize=normalize)
    for position in (0, 1):
        with double_precision():
            parts = group_gram(points[position], mask[position], normalize=normalize)
            expected, expected_lengths = map(np.asarray, parts)
        scale = expected_lengths.max()
        np.testing.assert_allclose(gram[position], expected, atol=2e-15 * scale)
        np.testing.assert_array_equal(gram[position], gram[position].T)
        real = mask[position]
        np.testing.assert_allclose(lengths[position][real], expected_lengths[real], rtol=1e-12)
    assert not gram[2].any()


@pytest.mark.parametrize("small", [True, False], ids=["in strips", "in triangles"])
def test_gram_matrices_on_the_sphere_are_those_of_float64(small, monkeypatch):
    monkeypatch.setattr(row_products, "_copies_little", lambda: small)
    random = np.random.default_rng(0)
    points = np.concatenate([random.normal(size=(40, 512)), cloud("views_1e-3", n=40)])
    points = points.astype(np.float32)
    # Points far apart, nearly alike, and only two of them alike.
    rows = np.stack([random.permutation(40)[:17] for _ in range(3)])
    rows[1] += 40
    points[rows[2, 3]] = points[rows[2, 8]] * (1 + 1e-4 * points[rows[2, 9]])
    mask = np.arange(17) < np.array([17, 15, 17])[:, None]
    mask[0, 4] = False
    grams = unit_grams_on_host(points, rows, mask)
    unit = points[rows].astype(np.float64)
    unit /= np.linalg.norm(unit, axis=2, keepdims=True)
    expected = ((unit[:, :, None] - unit[:, None]) ** 2).sum(axis=3)
    own = np.diagonal(grams, axis1=1, axis2=2)
    both = mask[:, :, None] & mask[:, None]
    distances = own[:, :, None] + own[:, None] - 2 * grams
    np.testing.assert_allclose(distances[both], expected[both], rtol=0, atol=4e-15)
    np.testing.assert_allclose(distances[1][both[1]], expected[1][both[1]], rtol=0, atol=1e-18)
    np.testing.assert_array_equal(grams, grams.transpose(0, 2, 1))
    assert not grams[~both].any()


@pytest.mark.parametrize("normalize", [True, False])
def test_the_host_gathers_the_gram_matrices_of_the_device(normalize):
    points = cloud("views_1e-3", n=80)
    rows = np.array([3, 50, 7])
    candidates = np.random.default_rng(0).integers(0, 60, (3, K))
    gram, lengths = gathered_grams_on_host(points, rows, candidates, normalize=normalize)
    with double_precision():
        parts = gathered_gram(jnp.asarray(points), rows, candidates, normalize=normalize)
        expected, expected_lengths = map(np.asarray, parts)
    np.testing.assert_allclose(gram, expected, atol=1e-15 * expected_lengths.max())
    np.testing.assert_allclose(lengths, expected_lengths, rtol=1e-14)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_differences_are_looked_up_where_the_cloud_keeps_their_digits(metric, monkeypatch):
    monkeypatch.setattr(grams_from_cloud, "_LOOK_UP", 0)
    points = cloud("random", n=80)
    # Two of them so close that their difference has no digits in the matrix of the cloud.
    points[5] = points[4] * (1 + 1e-6)
    rows, candidates = np.arange(80), np.random.default_rng(0).integers(0, 80, (80, K))
    candidates[candidates == rows[:, None]] = 79
    candidates[4, 0], candidates[79] = 5, np.arange(K)
    known = grams_from_cloud.cloud_gram_if_worth(points, k=K, metric=metric)
    assert known is not None
    gram, near = look_up_differences(known, rows, candidates)
    normalize = metric == "cosine"
    expected, _ = gathered_grams_on_host(points, rows, candidates, normalize=normalize)
    expected = expected * known.points.scales[0] ** (0 if normalize else 2)
    assert near[4] and not near[(candidates[:, :, None] != [4, 5]).all(axis=(1, 2))].any()
    np.testing.assert_allclose(gram, expected, atol=1e-14 * known.own.max())
    np.testing.assert_array_equal(gram, gram.transpose(0, 2, 1))


def test_a_graph_from_the_matrix_of_the_cloud_is_the_graph(monkeypatch):
    monkeypatch.setattr(grams_from_cloud, "_ENTRY", 0)
    points = cloud("random", n=300)
    result = nnk_graph(points, k=K)
    assert grams_from_cloud.cloud_gram_if_worth(points, k=K, metric="cosine") is not None
    monkeypatch.setattr(grams_from_cloud, "_GRAM_BYTES", 0)
    expected = nnk_graph(points, k=K)
    np.testing.assert_array_equal(result.indices, expected.indices)
    np.testing.assert_allclose(result.weights, expected.weights, atol=1e-12)
