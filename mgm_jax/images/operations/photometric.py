"""Random changes of colour, tone and sharpness; the place of things stays."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.images.operations.operation import (
    ViewOperation,
    between,
    check,
    check_pair,
    draw,
    up_to_one,
)
from mgm_jax.images.transforms import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    adjust_sharpness,
    blend,
    colour_jitter,
    equalize,
    gaussian_blur,
    greyscale,
    invert,
    posterize,
)

# The 24 orders of the four kinds of jitter; drawing one is cheaper to compile than a shuffle.
ORDERS = np.array(list(permutations(range(4))), np.int32)


def _factor(share: jax.Array, amount: float, strength: jax.Array) -> jax.Array:
    """Factor uniform in ``[max(0, 1 - a), 1 + a]`` with a = strength * amount."""
    reach = strength * amount
    return between(share, jnp.maximum(0.0, 1.0 - reach), 1.0 + reach)


@dataclass(frozen=True, kw_only=True)
class ColourJitter(ViewOperation):
    """Brightness, contrast, saturation and hue by random amounts in random order.

    As torchvision's ``ColorJitter``: factors uniform in ``[max(0, 1 - a), 1 + a]``, hue uniform
    in ``[-hue, hue]`` turns, any order of the four equally likely. The strength multiplies the
    amounts (the hue up to half a turn); whether a view is jittered at all does not depend on it.

    Attributes:
        brightness, contrast, saturation: amounts a, of at least 0.
        hue: within [0, 0.5].
        probability: share of views that are jittered.

    >>> ColourJitter(brightness=0.4).hue
    0.0
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    probability: float = 1.0

    def __post_init__(self) -> None:
        check(self, "brightness", low=0.0)
        check(self, "contrast", low=0.0)
        check(self, "saturation", low=0.0)
        check(self, "hue", low=0.0, high=0.5)
        check(self, "probability", low=0.0, high=1.0)

    def __call__(self, key: jax.Array, image: jax.Array, *, strength: jax.Array) -> jax.Array:
        draws = draw(key)
        # A view that is left out gets amounts of zero: the same arithmetic, nothing changed.
        strength = jnp.where(draws[0] < self.probability, strength, 0.0)
        share = draws[1:5]
        brightness = _factor(share[0], self.brightness, strength)
        contrast = _factor(share[1], self.contrast, strength)
        saturation = _factor(share[2], self.saturation, strength)
        turns = between(share[3], -1.0, 1.0) * jnp.minimum(strength * self.hue, 0.5)
        wanted = [bool(a) for a in (self.brightness, self.contrast, self.saturation, self.hue)]
        # With one kind there is no order to speak of, and no need for the other three.
        if wanted == [True, False, False, False]:
            return adjust_brightness(image, factor=brightness)
        if wanted == [False, True, False, False]:
            return adjust_contrast(image, factor=contrast)
        if wanted == [False, False, True, False]:
            return adjust_saturation(image, factor=saturation)
        if wanted == [False, False, False, True]:
            return adjust_hue(image, shift=turns)
        return colour_jitter(
            image,
            brightness=brightness,
            contrast=contrast,
            saturation=saturation,
            hue=turns,
            order=jnp.asarray(ORDERS)[jnp.int32(draws[5] * len(ORDERS))],
        )


@dataclass(frozen=True, kw_only=True)
class _Blended(ViewOperation):
    """Blend with a changed image, with a probability; strength 1 is the changed image itself."""

    probability: float = 0.5

    def __post_init__(self) -> None:
        check(self, "probability", low=0.0, high=1.0)

    @abstractmethod
    def _changed(self, image: jax.Array) -> jax.Array:
        """The image that the blend leads to."""

    def __call__(self, key: jax.Array, image: jax.Array, *, strength: jax.Array) -> jax.Array:
        chosen = draw(key)[0] < self.probability
        share = jnp.where(chosen, up_to_one(strength), 0.0)
        return blend(self._changed(image), image, factor=share)


@dataclass(frozen=True, kw_only=True)
class Grey(_Blended):
    """Grey image with a probability; below strength 1 only part of the colour goes.

    >>> Grey(probability=0.2).probability
    0.2
    """

    def _changed(self, image: jax.Array) -> jax.Array:
        return greyscale(image)


@dataclass(frozen=True, kw_only=True)
class Invert(_Blended):
    """Negative image with a probability; below strength 1 a blend with it."""

    def _changed(self, image: jax.Array) -> jax.Array:
        return invert(image)


@dataclass(frozen=True, kw_only=True)
class Equalize(_Blended):
    """Image with equalized histogram with a probability; below strength 1 a blend with it."""

    def _changed(self, image: jax.Array) -> jax.Array:
        return equalize(image)


@dataclass(frozen=True, kw_only=True)
class Posterize(ViewOperation):
    """Round values down to fewer levels; the bits taken away are uniform and real-valued.

    With b bits drawn uniformly, ``round(2 ** (8 - strength (8 - b)))`` levels remain, at least 2;
    256 levels leave the image as it is.

    Attributes:
        bits: fewest and most bits that remain at strength 1, within [1, 8].

    >>> Posterize().bits
    (2.0, 6.0)
    """

    bits: tuple[float, float] = (2.0, 6.0)

    def __post_init__(self) -> None:
        check_pair(self, "bits", low=1.0, high=8.0)

    def __call__(self, key: jax.Array, image: jax.Array, *, strength: jax.Array) -> jax.Array:
        bits = 8.0 - strength * (8.0 - between(draw(key)[0], *self.bits))
        levels = jnp.round(jnp.exp2(jnp.clip(bits, 1.0, 8.0)))
        return jnp.where(levels < 256, posterize(image, levels=levels), image)


@dataclass(frozen=True, kw_only=True)
class Blur(ViewOperation):
    """Gaussian blur with a random standard deviation, with a probability.

    Attributes:
        sigma: smallest and largest standard deviation in pixels of the view at strength 1.
        probability: share of views that are blurred.

    >>> Blur(probability=0.5).sigma
    (0.1, 2.0)
    """

    sigma: tuple[float, float] = (0.1, 2.0)
    probability: float = 1.0

    def __post_init__(self) -> None:
        check_pair(self, "sigma", low=0.0)
        check(self, "probability", low=0.0, high=1.0)

    def __call__(self, key: jax.Array, image: jax.Array, *, strength: jax.Array) -> jax.Array:
        draws = draw(key)
        sigma = strength * between(draws[1], *self.sigma)
        # A view that is left out is blurred by nothing, which changes no pixel.
        return gaussian_blur(image, sigma=jnp.where(draws[0] < self.probability, sigma, 0.0))


@dataclass(frozen=True, kw_only=True)
class Sharpness(ViewOperation):
    """Smooth or sharpen by a factor uniform in ``[max(0, 1 - a), 1 + a]``.

    Attributes:
        amount: a, of at least 0; the strength multiplies it.

    >>> Sharpness().amount
    1.0
    """

    amount: float = 1.0

    def __post_init__(self) -> None:
        check(self, "amount", low=0.0)

    def __call__(self, key: jax.Array, image: jax.Array, *, strength: jax.Array) -> jax.Array:
        return adjust_sharpness(image, factor=_factor(draw(key)[0], self.amount, strength))
