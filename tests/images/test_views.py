"""Views: what they depend on, and that a setting's pipeline is what torchvision would do."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.errors import InputError
from mgm_jax.images.operations import Affine, Blur, Flip
from mgm_jax.images.settings import SETTINGS, Setting
from mgm_jax.images.views import _render, image_key, make_views

SIDE, SIZE = 20, 16
CANVAS = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)
KEYS = [image_key(f"image {i}") for i in range(5)]
# The same numbers whatever the batch; XLA may round a fused product differently by its shape.
ROUNDING = 1e-5


def views(rows=range(5), numbers=range(4), **options) -> np.ndarray:
    options = {"setting": "augs", "size": SIZE, **options}
    rows = list(rows)
    return np.asarray(make_views(CANVAS[rows], [KEYS[i] for i in rows], list(numbers), **options))


@pytest.mark.slow
def test_semantic_views_are_the_centre_crop():
    made = views(setting="semantic", numbers=[0, 7])
    expected = CANVAS[:, None, 2:18, 2:18] / np.float32(255)
    np.testing.assert_allclose(made, np.broadcast_to(expected, made.shape), atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["augs", "rotation"])
def test_strength_zero_is_the_centre_crop(name):
    np.testing.assert_allclose(
        views(setting=name, strength=0.0), views(setting="semantic"), atol=1e-5
    )


def test_views_lie_in_the_unit_range_at_any_strength():
    for strength in (1.0, 3.0):
        made = views(strength=strength)
        assert made.dtype == np.float32 and np.isfinite(made).all()
        assert made.min() >= -1e-6 and made.max() <= 1 + 1e-6


@pytest.mark.slow
def test_a_view_does_not_depend_on_its_batch():
    """Alone, in another order, beside other views: the same view."""
    whole = views()
    np.testing.assert_allclose(views([3], [2])[0, 0], whole[3, 2], atol=ROUNDING)
    turned = views([4, 3, 2, 1, 0], [3, 2, 1, 0])
    np.testing.assert_allclose(turned, whole[::-1, ::-1], atol=ROUNDING)
    np.testing.assert_array_equal(views(), whole)


def test_view_image_seed_and_setting_change_the_draws():
    """Over one and the same picture, everything that should enter the draws does."""
    same = np.repeat(CANVAS[:1], 2, axis=0)

    def make(keys, numbers, **options):
        return np.asarray(make_views(same, keys, numbers, size=SIZE, **options))

    turn = SETTINGS["turn"]
    first = make(KEYS[:2], [0, 1], setting=turn)
    renamed = Setting(name="other", operations=turn.operations)
    others = [
        first[0, 1],
        first[1, 0],
        make(KEYS[:2], [0, 1], setting=turn, seed=1)[0, 0],
        make(KEYS[:2], [0, 1], setting=renamed)[0, 0],
    ]
    for other in others:
        assert np.abs(other - first[0, 0]).mean() > 0.01
    np.testing.assert_array_equal(make([KEYS[1]] * 2, [0, 1], setting=turn)[0], first[1])


def test_a_view_moves_smoothly_with_the_strength():
    ladder = np.stack([views([0], [0], setting="rotation", strength=s)[0, 0]
                       for s in np.linspace(0.5, 0.502, 3)])  # fmt: skip
    assert 0 < np.abs(np.diff(ladder, axis=0)).max() < 0.2


@given(numbers=st.lists(st.integers(0, 2**31 - 1), min_size=4, max_size=4, unique=True))
@settings(max_examples=10, deadline=None)
def test_any_view_number_can_be_asked_for_alone(numbers):
    made = views(numbers=numbers)
    swapped = views(numbers=numbers[::-1])
    np.testing.assert_allclose(made, swapped[:, ::-1], atol=ROUNDING)
    assert len(np.unique(made[0].reshape(4, -1), axis=0)) == 4


def test_a_pipeline_equals_torchvision_for_the_same_parameters(oracle):
    """Rotation, flip and blur with fixed parameters, one after the other."""
    from torchvision.transforms import InterpolationMode

    setting = Setting(
        name="fixed",
        operations=(
            Affine(scale=(1.2, 1.2)),
            Flip(probability=1.0, vertical=True),
            Blur(sigma=(1.0, 1.0)),
        ),
    )
    square = CANVAS[0, 2:18, 2:18] / np.float32(255)
    expected = oracle(
        "affine", square, 0.0, [0, 0], 1.2, [0.0, 0.0], interpolation=InterpolationMode.BILINEAR
    )
    expected = oracle("vertical_flip", expected)
    expected = oracle("gaussian_blur", expected, [15, 15], [1.0, 1.0])
    made = views([0], [0], setting=setting)[0, 0]
    np.testing.assert_allclose(made, expected, atol=1e-4)


def test_strength_and_seed_compile_nothing_new():
    views()
    before = _render._cache_size()
    for strength in (0.0, 0.3, 2.0):
        views(strength=strength, seed=int(strength * 10), numbers=range(10, 14))
    assert _render._cache_size() == before


def test_strength_may_be_traced():
    made = jax.jit(
        lambda s: make_views(CANVAS[:1], KEYS[:1], [0], setting="hflip", strength=s, size=SIZE)
    )(jnp.float32(0.0))
    np.testing.assert_allclose(made, views([0], [0], setting="semantic"), atol=1e-6)


def test_image_keys_are_stable():
    """Written down once: a change would silently change every view of every study."""
    assert image_key("class_a/1.jpg") == 1969376926
    assert image_key("ü") == 1618244810


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"canvas": CANVAS[0]}, "canvas"),
        ({"canvas": CANVAS[:, :10]}, "canvas"),
        ({"canvas": CANVAS / 255}, "uint8"),
        ({"size": SIDE + 1}, "size"),
        ({"size": 0}, "size"),
        ({"image_keys": KEYS[:2]}, "image_keys"),
        ({"image_keys": [0.5] * 5}, "image_keys"),
        ({"image_keys": [-1] * 5}, "image_keys"),
        ({"view_numbers": [2**31]}, "view_numbers"),
        ({"view_numbers": 3}, "view_numbers"),
        ({"setting": "blurr"}, "blurr"),
        ({"strength": -0.1}, "strength"),
        ({"strength": float("nan")}, "strength"),
        ({"seed": -1}, "seed"),
    ],
)
def test_wrong_arguments_are_named(change, named):
    arguments = {
        "canvas": CANVAS,
        "image_keys": KEYS,
        "view_numbers": [0],
        "setting": "semantic",
        "size": SIZE,
        **change,
    }
    with pytest.raises(InputError, match=named):
        make_views(
            arguments.pop("canvas"),
            arguments.pop("image_keys"),
            arguments.pop("view_numbers"),
            **arguments,
        )
