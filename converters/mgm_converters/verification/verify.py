"""Does the converted encoder compute what PyTorch computes with the same weights?

Both networks see the same random images, and every tap is compared: a wrong stride or a wrong
epsilon shows at the first layer that has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mgm_jax.encoders import Encoder

TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class TapCheck:
    """One tap, compared.

    Attributes:
        tap: its name.
        shape: of the activation of one image.
        error: largest difference over largest magnitude of PyTorch's values; at least 0.
        tolerance: largest error that passes.
    """

    tap: str
    shape: tuple[int, ...]
    error: float
    tolerance: float = TOLERANCE

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance; never where it is NaN."""
        return self.error <= self.tolerance


def verify(
    encoder: Encoder,
    state: Mapping[str, np.ndarray],
    *,
    images: int = 2,
    seed: int = 0,
    tolerance: float = TOLERANCE,
) -> tuple[TapCheck, ...]:
    """Compare an encoder with a PyTorch network of the same canonical weights at every tap.

    ``error = max|ours - theirs| / max|theirs|`` over all images and all values of a tap.

    Args:
        encoder: the converted encoder.
        state: its canonical weights.
        images: how many random images to compare on.
        seed: of the random images.
        tolerance: largest error that passes.

    Returns:
        One check a tap, in the order of the forward pass.
    """
    from mgm_converters.verification.reference import reference_activations

    size = encoder.preprocess.size
    generator = np.random.default_rng(seed)
    channels = encoder.spec.image_channels
    views = generator.uniform(size=(images, size, size, channels)).astype(np.float32)
    ours = encoder.activations(views, taps=encoder.taps)
    mean = np.asarray(encoder.preprocess.mean, np.float32)
    std = np.asarray(encoder.preprocess.std, np.float32)
    theirs = reference_activations(encoder.spec, state, (views - mean) / std)
    return tuple(
        TapCheck(
            tap=tap,
            shape=theirs[tap].shape[1:],
            error=relative_error(np.asarray(ours[tap]), theirs[tap]),
            tolerance=tolerance,
        )
        for tap in encoder.taps
    )


def relative_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    """``max|ours - theirs| / max|theirs|``; infinite where the shapes differ.

    >>> relative_error(np.array([1.0, 2.5]), np.array([1.0, 2.0]))
    0.25
    """
    if ours.shape != theirs.shape:
        return float("inf")
    scale = np.abs(theirs).max()
    difference = np.abs(ours.astype(np.float64) - theirs).max()
    return float(difference / scale) if scale > 0 else float(difference)
