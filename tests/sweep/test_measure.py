"""What all views of a setting say together: against formulas, and of an encoder that collapsed."""

from __future__ import annotations

import numpy as np

from mgm_jax.sweep.run.measure import measure_views


def _views(spread: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    images = random.normal(size=(12, 20))
    views = images[:, None] + spread * random.normal(size=(12, 6, 20))
    plain = random.normal(size=(200, 20))
    return views.reshape(72, 20).astype(np.float32), np.repeat(np.arange(12), 6), plain


def test_views_are_compared_on_the_sphere_and_whitened_by_the_plain_images():
    x, groups, plain = _views(0.5)
    found = measure_views(x, groups, plain=plain.astype(np.float32))
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    gaps = [
        np.mean([np.sum((u - v) ** 2) for i, u in enumerate(own) for v in own[i + 1 :]])
        for own in units.reshape(12, 6, 20)
    ]
    np.testing.assert_allclose(found["alignment"], np.mean(gaps), rtol=1e-5)
    near, far = (measure_views(*_views(s)[:2], plain=plain) for s in (0.1, 2.0))
    for name, sign in (("alignment", -1), ("whitened_invariance", 1), ("lidar", 1)):
        assert sign * (near[name] - far[name]) > 0, name


def test_an_encoder_that_maps_all_to_one_point_has_no_whitened_invariance():
    x, groups, _ = _views(0.5)
    found = measure_views(x, groups, plain=np.ones((200, 20), np.float32))
    assert np.isnan(found["whitened_invariance"]) and np.isfinite(found["alignment"])
