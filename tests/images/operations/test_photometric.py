"""Random changes of colour, tone and sharpness."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.errors import InputError
from mgm_jax.images.operations import (
    Blur,
    ColourJitter,
    Equalize,
    Grey,
    Invert,
    Posterize,
    Sharpness,
    photometric,
)
from mgm_jax.images.transforms import equalize, greyscale, invert

ALL = [
    ColourJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
    ColourJitter(brightness=0.8),
    ColourJitter(contrast=0.8),
    ColourJitter(saturation=0.8),
    ColourJitter(hue=0.3),
    Grey(probability=1.0),
    Invert(probability=1.0),
    Equalize(probability=1.0),
    Posterize(),
    Blur(),
    Sharpness(),
]


def many(operation, image, keys, strength) -> jax.Array:
    """Views ``[n, h, w, 3]`` of one image, one a key."""
    view = jax.vmap(lambda key, s: operation(key, image, strength=s), in_axes=(0, None))
    return jax.jit(view)(keys, strength)


@pytest.mark.parametrize("operation", ALL, ids=str)
def test_strength_leads_from_the_image_outwards(picture, keys, strengths, operation):
    """The very image at strength 0, and further away the larger the strength."""
    # Bytes, as every canvas holds: posterizing to 256 levels must leave them alone.
    image = jnp.round(jnp.asarray(picture) * 255) / 255
    view = jax.jit(lambda key, s: operation(key, image, strength=s))
    none, half, full = (
        jnp.stack([view(key, strengths[name]) for key in keys(8)])
        for name in ("none", "half", "full")
    )
    np.testing.assert_array_equal(none, jnp.broadcast_to(image, none.shape))
    for made in (half, full):
        assert float(made.min()) >= -1e-6 and float(made.max()) <= 1 + 1e-6
    assert 0 < float(jnp.abs(half - image).mean()) < float(jnp.abs(full - image).mean())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "change"), [(Grey, greyscale), (Invert, invert), (Equalize, equalize)]
)
def test_full_strength_is_the_transform_itself_as_often_as_asked(
    picture, keys, strengths, kind, change
):
    image = jnp.asarray(picture)
    views = many(kind(probability=0.4), image, keys(300), strengths["full"])
    changed = jnp.abs(views - change(image)).max((1, 2, 3)) < 1e-6
    assert (changed | (views == image).all((1, 2, 3))).all()
    assert float(changed.mean()) == pytest.approx(0.4, abs=0.1)


@pytest.mark.parametrize(
    "operation",
    [
        ColourJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, probability=0.6),
        Blur(sigma=(0.5, 2.0), probability=0.6),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_the_rest_is_left_alone(picture, keys, strengths, operation):
    """The share of untouched views is what was asked for, at every strength above 0."""
    image = jnp.asarray(picture)
    view = jax.jit(jax.vmap(lambda key, s: operation(key, image, strength=s), in_axes=(0, None)))
    left = [
        np.asarray((view(keys(300), strengths[name]) == image).all((1, 2, 3)))
        for name in ("half", "full")
    ]
    np.testing.assert_array_equal(*left)
    assert left[0].mean() == pytest.approx(0.4, abs=0.1)


def test_brightness_factors_fill_their_range(keys, strengths):
    grey = jnp.full((2, 2, 3), 0.5)
    values = many(ColourJitter(brightness=0.4), grey, keys(1000), strengths["full"])[:, 0, 0, 0]
    factors = np.asarray(values) / 0.5
    assert 0.6 <= factors.min() < 0.62 and 1.38 < factors.max() <= 1.4
    assert factors.mean() == pytest.approx(1.0, abs=0.03)


def test_all_orders_of_jitter_are_equally_likely(keys, strengths, monkeypatch):
    monkeypatch.setattr(photometric, "colour_jitter", lambda image, *, order, **_: order)
    jitter = ColourJitter(brightness=0.4, hue=0.1)
    orders = np.asarray(many(jitter, jnp.zeros((1, 1, 3)), keys(2400), strengths["full"]))
    result, counts = np.unique(orders, axis=0, return_counts=True)
    assert (np.sort(result, axis=1) == np.arange(4)).all()
    assert len(result) == 24
    # A binomial count of mean 100 leaves 50 to 150 once in a million.
    assert counts.min() > 50 and counts.max() < 150


def test_posterize_leaves_the_number_of_levels_it_says(keys, strengths):
    ramp = jnp.broadcast_to(jnp.linspace(0, 1, 256)[None, :, None], (1, 256, 3))
    for bits in (1.0, 3.0):
        views = many(Posterize(bits=(bits, bits)), ramp, keys(3), strengths["full"])
        assert all(len(np.unique(view)) == 2**bits for view in np.asarray(views))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: ColourJitter(brightness=-0.1), "brightness"),
        (lambda: ColourJitter(hue=0.6), "hue"),
        (lambda: ColourJitter(probability=2), "probability"),
        (lambda: Grey(probability=-1), "probability"),
        (lambda: Posterize(bits=(0, 4)), "bits"),
        (lambda: Blur(sigma=(2.0, 1.0)), "sigma"),
        (lambda: Sharpness(amount=True), "amount"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(make, named):
    with pytest.raises(InputError, match=named):
        make()
