"""Random operations: a frozen configuration that draws parameters from a key and a strength.

``operation(key, image, strength=s)`` is pure. The same key draws the same numbers at every
strength, and the strength scales what they do: 0 leaves the image as it is, 1 is the full range
of the configuration, more goes beyond it. A sweep over strengths moves each view along one path.

======================  =====================================================================
operation               what the strength scales
======================  =====================================================================
``ResizedCrop``         the way from the centre crop to the drawn box
``Affine``              angle, shift, shear and the logarithm of the scale
``Deform``              the displacements
``Flip``                the probability, up to strength 1
``ColourJitter``        the ranges of the factors and of the hue
``Grey, Invert,``       the share of the changed image in a blend, up to strength 1
``Equalize``
``Posterize``           the number of bits taken away
``Blur``                the standard deviation
``Sharpness``           the range of the factor
======================  =====================================================================
"""

from __future__ import annotations

from mgm_jax.images.operations.geometric import Affine, Deform, Flip, ResizedCrop
from mgm_jax.images.operations.operation import CanvasOperation, Operation, ViewOperation
from mgm_jax.images.operations.photometric import (
    Blur,
    ColourJitter,
    Equalize,
    Grey,
    Invert,
    Posterize,
    Sharpness,
)

# What a study file calls them.
OPERATIONS: dict[str, type[CanvasOperation] | type[ViewOperation]] = {
    "resized_crop": ResizedCrop,
    "affine": Affine,
    "deform": Deform,
    "flip": Flip,
    "colour_jitter": ColourJitter,
    "grey": Grey,
    "blur": Blur,
    "sharpness": Sharpness,
    "invert": Invert,
    "equalize": Equalize,
    "posterize": Posterize,
}

__all__ = [
    "OPERATIONS",
    "Affine",
    "Blur",
    "CanvasOperation",
    "ColourJitter",
    "Deform",
    "Equalize",
    "Flip",
    "Grey",
    "Invert",
    "Operation",
    "Posterize",
    "ResizedCrop",
    "Sharpness",
    "ViewOperation",
]
