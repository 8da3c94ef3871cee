"""The three ways to Gram matrices of neighbourhoods against plain float64, and each other."""

from __future__ import annotations

import builtins

import numpy as np
import pytest

from mgm_jax.geometry.knn.selection import NOBODY
from mgm_jax.geometry.local import gram as local_gram
from mgm_jax.geometry.local.gram import direct_grams, group_grams, spectra_of
from mgm_jax.geometry.local.pca import local_pca
from mgm_jax.geometry.nnk import grams_from_cloud
from mgm_jax.geometry.nnk.grams_from_cloud import cloud_gram_if_worth
from mgm_jax.geometry.points.groups import Groups, encode_groups


def cloud(n: int, d: int, *, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((n, d)) + 4).astype(np.float32)


def chosen(n: int, k: int) -> np.ndarray:
    """Random neighbours, none of them the point itself; the last of the first row is missing."""
    rng = np.random.default_rng(1)
    lists = np.stack([(row + 1 + rng.permutation(n - 1)[:k]) % n for row in range(n)])
    lists[0, -1] = NOBODY
    return lists.astype(np.int32)


def plain(x: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    grams = np.zeros((*neighbours.shape, neighbours.shape[1]))
    for row, names in enumerate(neighbours):
        real = np.flatnonzero(names != NOBODY)
        centred = x[names[real]].astype(np.longdouble)
        centred = centred - centred.mean(axis=0)
        grams[row][np.ix_(real, real)] = centred @ centred.T
    return grams


def everything(x: np.ndarray, neighbours: np.ndarray, groups: Groups) -> dict[str, np.ndarray]:
    n, k = neighbours.shape
    columns = {"dimension": np.full(n, -1), "ratio": np.zeros(n), "spectrum": np.zeros((n, k))}
    for rows, result in spectra_of(x, neighbours, groups, threshold=0.9):
        columns["dimension"][rows] = result.dimension
        columns["ratio"][rows] = result.participation_ratio
        columns["spectrum"][rows] = result.spectrum
    return columns


def test_all_ways_make_the_same_matrices() -> None:
    x, neighbours = cloud(40, 30), chosen(40, 9)
    expected, rows = plain(x, neighbours), np.arange(40)
    size = np.abs(expected).max()
    np.testing.assert_allclose(direct_grams(x, rows, neighbours), expected, atol=1e-14 * size)
    np.testing.assert_allclose(group_grams(x, rows, neighbours), expected, atol=1e-13 * size)


def test_parts_blocks_and_groups_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    x, neighbours = cloud(70, 12), chosen(70, 9)
    whole = everything(x, neighbours, encode_groups(None, 70))
    expected = np.linalg.eigvalsh(plain(x, neighbours))[:, ::-1]
    np.testing.assert_allclose(whole["spectrum"], expected, atol=1e-12 * expected.max())
    monkeypatch.setattr(local_gram, "_TASK_ROWS", 16)
    monkeypatch.setattr(local_gram, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(local_gram, "_SMALL_GROUP", 0)
    parts = everything(x, neighbours, encode_groups(None, 70))
    for name, column in whole.items():
        np.testing.assert_allclose(parts[name], column, rtol=1e-9, atol=1e-12 * expected.max())


def test_the_matrix_of_a_cloud_has_the_same_spectra(monkeypatch: pytest.MonkeyPatch) -> None:
    x = cloud(300, 200)
    result = local_pca(1e-3 * x, k=9)
    assert cloud_gram_if_worth(x, k=9, metric="euclidean") is not None
    monkeypatch.setattr(grams_from_cloud, "_GRAM_BYTES", 0)
    expected = local_pca(1e-3 * x, k=9)
    np.testing.assert_array_equal(result.dimension, expected.dimension)
    np.testing.assert_allclose(result.spectrum, expected.spectrum, rtol=1e-6)


def test_the_way_of_accelerators_has_the_same_results(monkeypatch: pytest.MonkeyPatch) -> None:
    x, neighbours = cloud(70, 12), chosen(70, 9)
    groups = encode_groups(None, 70)
    expected = everything(x, neighbours, groups)
    monkeypatch.setattr(local_gram, "_TASK_ROWS", 16)
    monkeypatch.setattr(local_gram.jax, "default_backend", lambda: "gpu")
    result = everything(x, neighbours, groups)
    np.testing.assert_array_equal(result["dimension"], expected["dimension"])
    np.testing.assert_allclose(result["spectrum"], expected["spectrum"], rtol=1e-9, atol=1e-9)


def test_a_tight_neighbourhood_in_a_wide_group_keeps_its_digits() -> None:
    rng = np.random.default_rng(3)
    x = np.concatenate([4096 + rng.integers(-8, 8, (20, 30)) / 2048, 1e5 * rng.random((20, 30))])
    x = x.astype(np.float32)
    neighbours = np.stack([np.setdiff1d(np.arange(20), [row])[:9] for row in range(20)])
    neighbours = np.concatenate([neighbours, 20 + neighbours]).astype(np.int32)
    expected = plain(x, neighbours)
    result = group_grams(x, np.arange(40), neighbours)
    for half in (slice(0, 20), slice(20, 40)):
        size = np.abs(expected[half]).max()
        np.testing.assert_allclose(result[half], expected[half], atol=1e-12 * size)


def test_neighbours_that_coincide_have_no_spread_either_way() -> None:
    x = np.repeat(cloud(4, 12), 10, axis=0)
    neighbours = np.stack([(row // 10 + 1) % 4 * 10 + np.arange(9) for row in range(40)])
    for way in (direct_grams, group_grams):
        assert not way(x, np.arange(40), neighbours.astype(np.int32)).any()


def test_small_eigenvalues_are_not_lost() -> None:
    scales = 10.0 ** -np.arange(7)
    x = (np.random.default_rng(4).standard_normal((60, 7)) * scales).astype(np.float32)
    neighbours = chosen(60, 20)[1:]
    result = np.linalg.eigvalsh(direct_grams(x, np.arange(1, 60), neighbours))[:, ::-1][:, :7]
    centred = [x[names].astype(np.longdouble) for names in neighbours]
    exact = [
        np.linalg.svd((c - c.mean(axis=0)).astype(float), compute_uv=False) ** 2 for c in centred
    ]
    # From 1 to 1e-12 of the largest: float32 products would have ended at 1e-7.
    np.testing.assert_allclose(result, np.array(exact), rtol=1e-2)


def test_works_where_the_thread_limits_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        if name == "threadpoolctl":
            raise ImportError(name)
        return real_import(name, *rest, **more)  # type: ignore[arg-type]

    x, neighbours = cloud(30, 12), chosen(30, 5)
    expected = everything(x, neighbours, encode_groups(None, 30))
    monkeypatch.setattr(builtins, "__import__", without)
    result = everything(x, neighbours, encode_groups(None, 30))
    np.testing.assert_array_equal(result["dimension"], expected["dimension"])
