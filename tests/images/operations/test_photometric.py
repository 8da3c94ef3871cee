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
    return jax.vmap(lambda key: operation(key, image, strength=strength))(keys)


@pytest.mark.parametrize("operation", ALL, ids=str)
def test_strength_leads_from_the_image_outwards(picture, keys, strengths, operation):
    """The very image at strength 0, and further away the larger the strength."""
    # Bytes, as every canvas holds: posterizing to 256 levels must leave them alone.
    image = jnp.round(jnp.asarray(picture) * 255) / 255
    view = jax.jit(lambda strength: many(operation, image, keys(8), strength))
    np.testing.assert_array_equal(
        view(strengths["none"]), jnp.broadcast_to(image, (8, *image.shape))
    )
    half, full = view(strengths["half"]), view(strengths["full"])
    for made in (half, full):
        assert float(made.min()) >= -1e-6 and float(made.max()) <= 1 + 1e-6
    assert 0 < float(jnp.abs(half - image).mean()) < float(jnp.abs(full - image).mean())


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
    shares = []
    for strength in (strengths["half"], strengths["full"]):
        views = many(operation, image, keys(300), strength)
        shares.append(float((views == image).all((1, 2, 3)).mean()))
    assert shares[0] == shares[1] == pytest.approx(0.4, abs=0.1)


def test_brightness_factors_fill_their_range(keys, strengths):
    grey = jnp.full((2, 2, 3), 0.5)
    values = many(ColourJitter(brightness=0.4), grey, keys(1000), strengths["full"])[:, 0, 0, 0]
    factors = np.asarray(values) / 0.5
    assert 0.6 <= factors.min() < 0.62 and 1.38 < factors.max() <= 1.4
    assert factors.mean() == pytest.approx(1.0, abs=0.03)


def test_jitter_makes_its_changes_in_all_orders(keys):
    """At a strength where steps clip, one set of amounts gives many results by order."""
    image = jnp.array([[[0.9, 0.3, 0.1], [0.2, 0.8, 0.6]]])
    draws = jax.vmap(lambda key: jax.random.uniform(key, (6,)))(keys(2000))
    orders = np.unique(np.asarray(jnp.int32(draws[:, 5] * 24)), return_counts=True)
    assert len(orders[0]) == 24
    assert orders[1].min() > 40
    views = many(ColourJitter(brightness=2, contrast=2), image, keys(50), jnp.float32(1.0))
    assert len(np.unique(np.asarray(views).reshape(50, -1), axis=0)) == 50


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
