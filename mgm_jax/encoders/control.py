"""The untrained control of an encoder: the same network and input, with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mgm_jax.encoders.catalogue.published import PUBLISHED
from mgm_jax.encoders.encoder import Encoder
from mgm_jax.encoders.spec import EncoderSpec, PixelsSpec, Preprocess
from mgm_jax.encoders.untrained import random_state
from mgm_jax.errors import InputError


def untrained_control(
    of: Encoder | str, *, seed: int = 0, size: int | None = None, name: str | None = None
) -> Encoder:
    """What an encoder was before its first training step, as :func:`random_state` draws it.

    Architecture, padding, epsilon, activation, default feature and preprocessing stay those of
    the encoder; only its weights are replaced. Methods that freeze or prescribe some of their
    first weights (the positions of MoCo-v3 and MAE) get random ones like all others.

    Args:
        of: an encoder, or the name of a published one (``mgm models``); nothing is downloaded.
        seed: of the weights, at least 0.
        size: side of the square input in pixels, where it shall differ.
        name: what tables and figures shall call it.

    Raises:
        InputError: an unknown name, an encoder without weights, a size the network does not take.

    Example:
        >>> control = untrained_control("dino_resnet50", seed=3, size=64)
        >>> control.name, control.meta["paradigm"]
        ('dino_resnet50:seed=3', 'untrained')
    """
    spec, preprocess, own_name, meta = _facts(of)
    if isinstance(spec, PixelsSpec):
        raise InputError("init: the pixels have no weights, so there is nothing to draw at random")
    if size is not None:
        resize = max(size, round(preprocess.resize * size / preprocess.size))
        spec = replace(spec, image_size=size)
        preprocess = replace(preprocess, size=size, resize=resize)
    origin = {
        "architecture": str(meta.get("architecture", own_name)),
        "paradigm": "untrained",
        "source": "random weights",
        "control_of": own_name,
        "seed": seed,
    }
    return Encoder.from_state(
        random_state(spec, seed=seed),
        name=name or f"{own_name}:seed={seed}",
        spec=spec,
        preprocess=preprocess,
        meta=origin,
    )


def _facts(of: Encoder | str) -> tuple[EncoderSpec, Preprocess, str, Mapping[str, Any]]:
    if isinstance(of, Encoder):
        return of.spec, of.preprocess, of.name, of.meta
    if of not in PUBLISHED:
        raise InputError(f"{of!r} is no published encoder; `mgm models` lists the names")
    one = PUBLISHED[of]
    return one.spec, one.preprocess, of, {}
