"""Moments within groups that are spread over shards, and what is read off them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.errors import InputError
from mgm_jax.geometry.cloud import moments as module
from mgm_jax.geometry.cloud.grouped_moments import GroupedMoments, grouped_moments_of
from mgm_jax.geometry.cloud.spectrum import alignment, lidar, mean_cosine
from mgm_jax.geometry.cloud.views import alignment_of, lidar_of, mean_cosine_of

N, D, IMAGES = 48, 4, 7


def views(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Views in no order, of at least two an image."""
    rng = np.random.default_rng(seed)
    groups = np.concatenate([np.repeat(np.arange(IMAGES), 2), rng.integers(0, IMAGES, N)])
    rng.shuffle(groups)
    x = rng.standard_normal((IMAGES, D))[groups] + 0.3 * rng.standard_normal((groups.size, D)) + 5
    return x.astype(np.float32), groups


def check(result: GroupedMoments, x: np.ndarray, groups: np.ndarray) -> None:
    wide = x.astype(np.float64)
    labels, codes = np.unique(groups, return_inverse=True)
    means = np.stack([wide[groups == label].mean(axis=0) for label in labels])
    centred = wide - means[codes]
    np.testing.assert_array_equal(result.labels, labels)
    np.testing.assert_array_equal(result.sizes, np.bincount(codes))
    np.testing.assert_allclose(result.means, means, rtol=1e-14)
    np.testing.assert_allclose(result.within, centred.T @ centred, rtol=1e-11, atol=1e-12)
    spreads = np.bincount(codes, weights=(centred**2).sum(axis=1))
    np.testing.assert_allclose(result.spreads, spreads, rtol=1e-12, atol=1e-13)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    cuts=st.lists(st.integers(1, N), max_size=5, unique=True),
)
def test_views_of_one_image_may_be_spread_over_shards(seed: int, cuts: list[int]) -> None:
    x, groups = views(seed)
    shards = list(zip(np.split(x, sorted(cuts)), np.split(groups, sorted(cuts)), strict=True))
    check(grouped_moments_of(x, groups), x, groups)
    added = grouped_moments_of(*shards[0])
    for shard in shards[1:]:
        added = added.add(*shard)
    check(added, x, groups)
    parts = [grouped_moments_of(*shard) for shard in shards]
    while len(parts) > 1:
        parts.append(parts.pop(0).merge(parts.pop(0)))
    check(parts[0], x, groups)
    assert lidar_of(added) == pytest.approx(lidar(x, groups), rel=1e-9)
    on_sphere = grouped_moments_of(*shards[0], on_sphere=True, covariance=False)
    for shard in shards[1:]:
        on_sphere = on_sphere.add(*shard)
    assert alignment_of(on_sphere) == pytest.approx(alignment(x, groups), rel=1e-12)
    assert mean_cosine_of(on_sphere) == pytest.approx(mean_cosine(x, groups=groups), rel=1e-12)


def test_one_group_is_a_cloud_of_which_all_pairs_count() -> None:
    x = np.random.default_rng(0).standard_normal((30, D)).astype(np.float32)
    cloud = grouped_moments_of(x[:11], None, on_sphere=True, covariance=False)
    cloud = cloud.add(x[11:], None)
    assert mean_cosine_of(cloud) == pytest.approx(mean_cosine(x), abs=1e-15)
    assert 1 - alignment_of(cloud) / 2 == pytest.approx(mean_cosine(x), abs=1e-14)


def test_blocks_cut_through_groups_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    x, groups = views(1)
    names = np.array([f"image {group}" for group in groups])
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 3)
    result = grouped_moments_of(x, names)
    check(result, x, names)
    assert repr(result) == f"GroupedMoments({len(x)} points in {IMAGES} groups, {D} features)"


def test_views_that_hardly_differ_keep_their_digits() -> None:
    x, groups = views(2)
    images = np.round(x[np.unique(groups, return_index=True)[1]] * 8) / 8
    views_of = images[groups] + np.random.default_rng(3).integers(-4, 4, x.shape) * 2.0**-20
    result = grouped_moments_of(views_of.astype(np.float32), groups)
    centred = (
        views_of - np.stack([views_of[groups == g].mean(axis=0) for g in range(IMAGES)])[groups]
    )
    np.testing.assert_allclose(result.within, centred.T @ centred, rtol=1e-8, atol=1e-18)
    assert alignment(images[groups], groups) < 1e-30


def test_lidar_survives_a_delta_below_rounding() -> None:
    x, groups = views(4)
    flat = np.concatenate([x, np.zeros((len(x), 3), np.float32)], axis=1)
    flat[:, 4] = flat[:, 0]
    assert 1 <= lidar(1e6 * flat, groups, delta=1e-12) <= IMAGES
    assert lidar(flat, groups, delta=1e-6) == pytest.approx(lidar(x, groups, delta=1e-6), rel=0.2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.merge(grouped_moments_of(np.eye(2), [0, 1])), r"features \(4 and 2\)"),
        (lambda m: m.add(np.eye(4), list("aabb")), r"labels \(integers and strings\)"),
        (lambda m: m.add(np.eye(3), [0, 0, 1]), "4 columns"),
        (lambda m: alignment_of(m), "on_sphere=True"),
        (
            lambda m: lidar_of(grouped_moments_of(np.eye(4), [0, 0, 1, 1], covariance=False)),
            "covariance=True",
        ),
        (lambda m: lidar_of(m.add(np.eye(4)[:1], [9])), "two views of every image; got one of 9"),
        (lambda m: grouped_moments_of(np.eye(4)[:0], []), "at least one row"),
        (lambda m: grouped_moments_of(np.zeros((2, 2)), [0, 0], on_sphere=True), "only zeros"),
    ],
)
def test_unusable_input_is_described(call, message: str) -> None:
    moments = grouped_moments_of(np.eye(4), [0, 0, 1, 1])
    with pytest.raises(InputError, match=message):
        call(moments)
