"""What all views of a setting say together: against formulas, and of an encoder that collapsed."""

from __future__ import annotations

import numpy as np
import pytest

from mgm_jax.study import MetricOptions
from mgm_jax.sweep.measures.measure import SMALL, measure_points, measure_reference, measure_views


def _views(spread: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    images = random.normal(size=(12, 20))
    views = images[:, None] + spread * random.normal(size=(12, 6, 20))
    plain = random.normal(size=(200, 20))
    return views.reshape(72, 20).astype(np.float32), np.repeat(np.arange(12), 6), plain


def test_views_are_compared_on_the_sphere_and_whitened_by_the_plain_images():
    x, groups, plain = _views(0.5)
    result = measure_views(x, groups, plain=plain.astype(np.float32))
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    gaps = [
        np.mean([np.sum((u - v) ** 2) for i, u in enumerate(own) for v in own[i + 1 :]])
        for own in units.reshape(12, 6, 20)
    ]
    np.testing.assert_allclose(result["alignment"], np.mean(gaps), rtol=1e-5)
    near, far = (measure_views(*_views(s)[:2], plain=plain) for s in (0.1, 2.0))
    for name, sign in (("alignment", -1), ("whitened_invariance", 1), ("lidar", 1)):
        assert sign * (near[name] - far[name]) > 0, name


def test_an_encoder_that_maps_all_to_one_point_has_no_whitened_invariance():
    x, groups, _ = _views(0.5)
    result = measure_views(x, groups, plain=np.ones((200, 20), np.float32))
    assert np.isnan(result["whitened_invariance"]) and np.isfinite(result["alignment"])


def test_points_of_small_manifolds_are_named_and_counted():
    x = np.random.default_rng(0).normal(size=(15, 20)).astype(np.float32)
    groups = np.repeat(["ant", "bee", "cat", "dog"], [1, 2, 6, 6])
    reference = measure_reference(x, np.full(15, -1), seed=0)
    result = measure_points(x, groups, options=MetricOptions(), reference=reference, seed=0)
    assert result.index.tolist() == list(range(3, 15))
    assert result.attrs[SMALL] == {"groups": ["ant", "bee"], "points": 3}
    full = measure_points(x[3:], groups[3:], options=MetricOptions(), reference=reference, seed=0)
    assert SMALL not in full.attrs
    np.testing.assert_array_equal(full["relative_diameter"], result["relative_diameter"])


def test_the_unit_of_the_diameter_is_measured_where_the_points_are_centred():
    x = np.random.default_rng(0).normal(size=(60, 20)).astype(np.float32) + 3
    labels = np.full(60, -1)
    plain, centred = (
        measure_reference(x, labels, seed=0, center=center).distance for center in (None, "global")
    )
    moved = x - x.mean(axis=0, dtype=np.float64)
    for points, distance in ((x, plain), (moved, centred)):
        units = points / np.linalg.norm(points, axis=1, keepdims=True)
        gaps = ((units[:, None] - units[None]) ** 2).sum(axis=-1)
        expected = np.sqrt(gaps.sum() / (60 * 59))
        assert distance == pytest.approx(expected, rel=1e-5)
    assert np.isnan(measure_reference(np.ones((5, 3), np.float32), labels[:5], seed=0).distance)
