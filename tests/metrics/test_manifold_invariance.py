"""What must not change the record: batches, order, motions, and the way to the answer."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.metrics import manifold, manifold_metrics, small_groups
from mgm_jax.metrics.measure import measure_points
from tests.geometry.clouds import cloud

GROUPS = np.repeat([7, 3, 5], [14, 13, 15])
POINTS = cloud("relu", n=GROUPS.size)[:, :40]
SAMPLED = ("nnk_affinity_null",)
"""Taken over eight random points, drawn by place in the group, where the group is a large one."""


def _same(first, second, *, rows=slice(None), but=(), atol=1e-12) -> None:
    for name in first.columns:
        if name not in but:
            got, expected = getattr(first, name)[rows], getattr(second, name)
            np.testing.assert_allclose(got, expected, atol=atol, err_msg=name)


def test_batches_do_not_matter():
    whole = manifold_metrics(POINTS, groups=GROUPS)
    _same(manifold_metrics(POINTS, groups=GROUPS, max_points_per_batch=1), whole)


def test_the_order_and_company_of_groups_do_not_matter():
    whole = manifold_metrics(POINTS, groups=GROUPS)
    labels = np.random.default_rng(0).permutation(GROUPS)
    order = np.empty(GROUPS.size, int)
    for code in (3, 5, 7):
        order[labels == code] = np.flatnonzero(code == GROUPS)
    mixed = manifold_metrics(POINTS[order], groups=GROUPS[order])
    _same(whole, mixed, rows=order)
    alone = manifold_metrics(POINTS[GROUPS == 5], groups=GROUPS[GROUPS == 5])
    _same(whole, alone, rows=GROUPS == 5)


@pytest.mark.parametrize("kernel", ["cosine", pytest.param("gaussian", marks=pytest.mark.nightly)])
def test_gathered_candidates_give_what_the_gram_matrix_gives(monkeypatch, kernel):
    through_gram = manifold_metrics(POINTS, groups=GROUPS, k=8, kernel=kernel)

    def gather(points, groups, bandwidth, options, mesh):
        return measure_points(points, groups, bandwidth, replace(options, gram_limit=0), mesh)

    monkeypatch.setattr(manifold, "measure_points", gather)
    gathered = manifold_metrics(POINTS, groups=GROUPS, k=8, kernel=kernel)
    _same(gathered, through_gram, but=SAMPLED, atol=1e-9)
    drawn, whole = gathered.nnk_affinity_null, through_gram.nnk_affinity_null
    assert (drawn != whole).any() and abs(drawn.mean() - whole.mean()) < 0.02


@pytest.mark.parametrize("k", [None, 8])
def test_the_one_program_of_accelerators_gives_the_same(monkeypatch, k):
    whole = manifold_metrics(POINTS, groups=GROUPS, k=k)
    monkeypatch.setattr(small_groups, "_on_cpu", small_groups._on_device)
    _same(manifold_metrics(POINTS, groups=GROUPS, k=k), whole, atol=1e-9)


def test_arrays_of_jax_and_half_precision_are_taken():
    half = jnp.asarray(POINTS, jnp.bfloat16)
    wide = np.asarray(half, np.float32)
    _same(manifold_metrics(half, groups=GROUPS), manifold_metrics(wide, groups=GROUPS))


def test_the_null_of_a_large_group_follows_the_seed():
    x = cloud("random", n=270)[:, :24]
    first, again, other = (manifold_metrics(x, k=20, seed=seed) for seed in (1, 1, 2))
    _same(again, first, atol=0)
    _same(other, first, but=SAMPLED, atol=0)
    assert (first.nnk_affinity_null != other.nnk_affinity_null).any()


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 1e3))
def test_rotation_and_scale_do_not_matter(seed, scale):
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(40, 40)))[0]
    # Rounding the turned points to float32 moves them by 1e-7, and their metrics a little more.
    moved = manifold_metrics(scale * POINTS.astype(np.float64) @ turn, groups=GROUPS)
    _same(moved, manifold_metrics(POINTS, groups=GROUPS), atol=2e-5)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_translation_does_not_matter_off_the_sphere(seed):
    random = np.random.default_rng(seed)
    moved, still = (
        manifold_metrics(x, groups=GROUPS, kernel="gaussian", bandwidth=3.0, normalize=False)
        for x in (POINTS + random.uniform(-2, 2, size=40), POINTS)
    )
    _same(moved, still, atol=2e-5)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_points_and_features_does_not_matter(seed):
    random = np.random.default_rng(seed)
    rows, columns = random.permutation(GROUPS.size), random.permutation(40)
    mixed = manifold_metrics(POINTS[rows][:, columns], groups=GROUPS[rows])
    _same(manifold_metrics(POINTS, groups=GROUPS), mixed, rows=rows, atol=1e-9)


@pytest.mark.parametrize("apart", [1e-5, 1e-4])
def test_the_order_of_near_copies_moves_affinities_by_rounding_alone(apart):
    random = np.random.default_rng(0)
    spread = random.normal(size=(GROUPS.size, 40))
    points = (spread[np.arange(GROUPS.size) % 4] + apart * spread).astype(np.float32)
    rows = random.permutation(GROUPS.size)
    metrics, mixed = (
        manifold_metrics(x, groups=g) for x, g in ((points, GROUPS), (points[rows], GROUPS[rows]))
    )
    affinities = ("nnk_affinity", "nnk_affinity_excess", "nnk_affinity_null")
    _same(metrics, mixed, rows=rows, but=affinities, atol=1e-9)
    # An entry of the Gram matrix is rounded at 2^-52 of the largest; a direction between two points
    # turns by that over their squared distance, in each of a few dozen terms.
    tolerance = 2.0**-46 / metrics.knn_distance.min() ** 2
    for name in affinities:
        moved = np.abs(getattr(metrics, name)[rows] - getattr(mixed, name))
        assert moved.max() < tolerance < 0.1, name


def test_groups_of_many_sizes_compile_once_a_padded_size():
    from mgm_jax.geometry.local import subspaces_on_cpu
    from mgm_jax.parallel.spread_jit import spread_jit

    spread_jit.cache_clear()
    subspaces_on_cpu._basis.clear_cache()
    sizes = [17, 18, 20, 22, 24, 19, 23, 21]
    groups = np.repeat(np.arange(8), sizes)
    random = np.random.default_rng(0)
    for width, order in ((40, slice(None)), (40, slice(None, None, -1)), (56, slice(None))):
        points = random.normal(size=(groups.size, width))
        manifold_metrics(points[order], groups=groups[order], max_points_per_batch=100)
    # Points of another width compile nothing anew.
    find = small_groups._spread(small_groups._neighbours_left_out, None)
    assert find._cache_size() == 1
    # Tails of 8, 16 or all 23 eigenvalues, and vectors in eights up to 24.
    assert spread_jit.cache_info().misses <= 1 + 3
    assert subspaces_on_cpu._basis._cache_size() <= 3
    # No point needed the fallback, so it was not compiled.
    again = partial(small_groups._spread, small_groups._neighbours_among_all, None, kernel="cosine")
    assert not any(again(fallback=choice)._cache_size() for choice in (False, True))
