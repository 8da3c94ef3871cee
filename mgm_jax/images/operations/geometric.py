"""Random crops, affine maps, deformations and flips."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from mgm_jax.errors import InputError
from mgm_jax.images.operations.operation import (
    CanvasOperation,
    ViewOperation,
    between,
    check,
    check_pair,
    draw,
    up_to_one,
)
from mgm_jax.images.transforms import (
    affine,
    elastic,
    flip,
    reflected_gaussian,
    resized_crop,
)
from mgm_jax.images.transforms.resample import centre_offset, separable

# A box that does not fit is drawn again, as often as torchvision does.
ATTEMPTS = 10
# A shear of 90 degrees has no inverse.
STEEPEST_SHEAR = 80.0


@dataclass(frozen=True, kw_only=True)
class ResizedCrop(CanvasOperation):
    """Box of random area, shape and place, resized to the view (antialias).

    The box is drawn as torchvision's ``RandomResizedCrop`` draws it, without rounding to whole
    pixels: area uniform in ``scale`` times the canvas, log aspect uniform, up to ten tries for one
    that fits, then place uniform. Strength s goes a share s of the way from the centre crop to
    that box: straight in the corner, in the logarithm in the sides.

    Attributes:
        scale: smallest and largest share of the area, within (0, 1].
        ratio: smallest and largest width over height, above 0.

    >>> ResizedCrop(scale=(0.5, 1.0))
    ResizedCrop(scale=(0.5, 1.0), ratio=(0.75, 1.3333333333333333))
    """

    scale: tuple[float, float] = (0.2, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        check_pair(self, "scale", low=1e-4, high=1.0)
        check_pair(self, "ratio", low=1e-2, high=1e2)

    def __call__(
        self, key: jax.Array, image: jax.Array, *, strength: jax.Array, size: int
    ) -> jax.Array:
        whole = float(image.shape[0])
        height, width, top, left = self._box(key, whole)
        start = float(centre_offset(image.shape[0], size))

        def side(drawn: jax.Array) -> jax.Array:
            return jnp.clip(size * (drawn / size) ** strength, 1.0, whole)

        height, width = side(height), side(width)
        return resized_crop(
            image,
            top=jnp.clip(between(strength, start, top), 0.0, whole - height),
            left=jnp.clip(between(strength, start, left), 0.0, whole - width),
            height=height,
            width=width,
            size=size,
        )

    def _box(
        self, key: jax.Array, whole: float
    ) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """Height, width, top and left of a box inside of a square of side ``whole``."""
        draws = draw(key)
        area = between(draws[:ATTEMPTS], *self.scale)
        log_aspect = between(
            draws[ATTEMPTS : 2 * ATTEMPTS], math.log(self.ratio[0]), math.log(self.ratio[1])
        )
        heights = jnp.sqrt(area / jnp.exp(log_aspect))
        widths = jnp.sqrt(area * jnp.exp(log_aspect))
        fits = (heights <= 1.0) & (widths <= 1.0)
        first = jnp.argmax(fits)
        # Nothing fitted: the largest box in the middle with an allowed shape.
        aspect = min(max(1.0, self.ratio[0]), self.ratio[1])
        fitted = jnp.any(fits)
        height = whole * jnp.where(fitted, heights[first], min(1.0, 1.0 / aspect))
        width = whole * jnp.where(fitted, widths[first], min(1.0, aspect))
        offset = jnp.where(fitted, draws[2 * ATTEMPTS : 2 * ATTEMPTS + 2], 0.5)
        return height, width, offset[0] * (whole - height), offset[1] * (whole - width)


@dataclass(frozen=True, kw_only=True)
class Affine(CanvasOperation):
    """Random rotation, shift, scale and shear about the middle of the view; black outside.

    Strength s multiplies angle, shift and shear, and raises the scale to the power s.

    Attributes:
        degrees: angle uniform in [-degrees, degrees].
        translate: shift along each axis uniform in [-translate, translate] times the view.
        scale: enlargement uniform in this pair, above 0.
        shear: angle along each axis uniform in [-shear, shear] degrees, at most 80 after the
            strength.

    >>> Affine(degrees=90).scale
    (1.0, 1.0)
    """

    degrees: float = 0.0
    translate: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    shear: float = 0.0

    def __post_init__(self) -> None:
        check(self, "degrees", low=0.0)
        check(self, "translate", low=0.0)
        check_pair(self, "scale", low=1e-2, high=1e2)
        check(self, "shear", low=0.0, high=STEEPEST_SHEAR)

    def __call__(
        self, key: jax.Array, image: jax.Array, *, strength: jax.Array, size: int
    ) -> jax.Array:
        draws = between(draw(key), -1.0, 1.0)
        shift = strength * self.translate * size * draws[1:3]
        shear = jnp.clip(strength * self.shear * draws[3:5], -STEEPEST_SHEAR, STEEPEST_SHEAR)
        return affine(
            image,
            degrees=strength * self.degrees * draws[0],
            translate=(shift[0], shift[1]),
            scale=between(0.5 + 0.5 * draws[5], *self.scale) ** strength,
            shear=(shear[0], shear[1]),
            size=size,
        )


@dataclass(frozen=True, kw_only=True)
class Deform(CanvasOperation):
    """Smooth random displacement of every pixel (elastic deformation); black outside.

    White noise for each axis, blurred with a Gaussian, as in torchvision's ``ElasticTransform``;
    but scaled so that the size of the displacements is what was asked for, whatever the blur.

    Attributes:
        amount: standard deviation of the displacement along each axis, as a share of the view.
        smoothness: standard deviation of the blur, as a share of the view, above 0.

    >>> Deform(amount=0.02).smoothness
    0.06
    """

    amount: float = 0.03
    smoothness: float = 0.06

    def __post_init__(self) -> None:
        check(self, "amount", low=0.0)
        check(self, "smoothness", low=1e-3, high=1.0)

    def __call__(
        self, key: jax.Array, image: jax.Array, *, strength: jax.Array, size: int
    ) -> jax.Array:
        noise = jax.random.normal(key, (size, size, 2))
        blur = reflected_gaussian(self.smoothness * size, pixels=size)
        # Each blur divides the deviation of white noise by 1 / sqrt(sum of squared weights).
        to_unit = 1.0 / jnp.sum(blur[size // 2] ** 2)
        pixels = strength * self.amount * size * to_unit
        return elastic(image, displacement=pixels * separable(noise, blur, blur), size=size)


@dataclass(frozen=True, kw_only=True)
class Flip(ViewOperation):
    """Mirror the view with a probability, which grows with the strength up to strength 1.

    Attributes:
        probability: within [0, 1].
        vertical: top to bottom instead of left to right.

    >>> Flip().probability
    0.5
    """

    probability: float = 0.5
    vertical: bool = False

    def __post_init__(self) -> None:
        check(self, "probability", low=0.0, high=1.0)
        if not isinstance(self.vertical, bool):
            raise InputError(f"Flip: vertical must be true or false; got {self.vertical!r}.")

    def __call__(self, key: jax.Array, image: jax.Array, *, strength: jax.Array) -> jax.Array:
        flipped = draw(key)[0] < self.probability * up_to_one(strength)
        return jnp.where(flipped, flip(image, vertical=self.vertical), image)
