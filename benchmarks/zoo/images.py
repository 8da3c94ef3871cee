"""The images that encoders are trained on and watched on."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.zoo.networks.backbones import PIXELS
from mgm_jax.encoders.spec import IMAGENET_MEAN, IMAGENET_STD
from mgm_jax.errors import InputError
from mgm_jax.images import ImageSource, Setting, canvases, image_key, make_views


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images in memory.

    Attributes:
        name: of the source.
        pixels: uint8 ``[n, 64, 64, 3]``.
        labels: class of each, ``[n]``.
        keys: number of each in the random draws, ``[n]``.
    """

    name: str
    pixels: np.ndarray
    labels: np.ndarray
    keys: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)


def read_images(source: ImageSource, *, per_class: int | None = None) -> Images:
    """Decode a source, or the first images of each class.

    Args:
        source: images with classes.
        per_class: how many of each class; None for all.

    Raises:
        InputError: a source without classes, or a class with fewer images.
    """
    labels = source.labels
    if labels is None or len(set(labels.tolist())) < 2:
        raise InputError(f"{source.name}: expected a folder of images for each class")
    positions = np.arange(len(source))
    if per_class is not None:
        counts = np.bincount(labels, minlength=len(source.classes))
        if counts.min() < per_class:
            raise InputError(
                f"per_class: {source.classes[int(counts.argmin())]} of {source.name} has only "
                f"{counts.min()} images, {per_class} were asked for"
            )
        positions = np.concatenate(
            [np.flatnonzero(labels == c)[:per_class] for c in range(len(source.classes))]
        )
    batches = canvases(source, positions, resize=PIXELS, batch_size=512)
    pixels = np.concatenate([batch.images[batch.index >= 0] for batch in batches])
    return Images(
        name=source.name,
        pixels=pixels,
        labels=np.asarray(labels)[positions].astype(np.int32),
        keys=np.array([image_key(source.ids[p]) for p in positions]),
    )


def epoch_order(count: int, *, seed: int, epoch: int) -> np.ndarray:
    """Order of the images in an epoch, ``[count]``: a function of seed and epoch alone."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def two_views(
    images: Images, rows: np.ndarray, *, policy: Setting, seed: int, epoch: int
) -> jax.Array:
    """Two random views of some images in an epoch, normalised, ``[2, b, 64, 64, 3]``.

    A view is a function of its image, the policy, the seed and the epoch, so a run that was cut off
    sees what it would have seen.
    """
    views = make_views(
        images.pixels[rows],
        images.keys[rows],
        [2 * epoch, 2 * epoch + 1],
        setting=policy,
        seed=seed,
        size=PIXELS,
    )
    return normalise(jnp.moveaxis(views, 1, 0))


def normalise(pixels: jax.Array) -> jax.Array:
    """Pixels in [0, 1] less ImageNet's mean, over its deviation."""
    return (pixels - jnp.asarray(IMAGENET_MEAN)) / jnp.asarray(IMAGENET_STD)
