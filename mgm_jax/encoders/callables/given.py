"""Encoders that a program hands over: as values, or by the name of a function that makes them."""

from __future__ import annotations

import importlib
import math
import os
import sys
from collections.abc import Mapping
from typing import Any

from mgm_jax.encoders.any_encoder import AnyEncoder
from mgm_jax.encoders.callables.wrapped import wrap
from mgm_jax.errors import InputError


def as_encoder(name: str, value: Any) -> AnyEncoder:
    """An encoder, from one or from a callable that says itself what its input is.

    A model of timm says so; of any other callable :func:`wrap` is told.

    Raises:
        InputError: no encoder, or a callable whose input nobody states.
    """
    if isinstance(value, AnyEncoder):
        return value
    config = getattr(value, "pretrained_cfg", None)
    if callable(value) and isinstance(config, Mapping) and config.get("input_size"):
        side = int(config["input_size"][-1])
        return wrap(
            value,
            size=side,
            resize=max(side, math.floor(side / float(config.get("crop_pct") or 1))),
            mean=config.get("mean") or (0.0, 0.0, 0.0),
            std=config.get("std") or (1.0, 1.0, 1.0),
            interpolation=config.get("interpolation") or "bicubic",
            name=name,
        )
    if not callable(value):
        raise InputError(
            f"encoders: {name} must be an encoder, a callable in mgm.wrap(...), or the name of a "
            f"source; got {type(value).__name__}"
        )
    raise InputError(
        f"encoders: the input of {name} cannot be known; say it with "
        "mgm.wrap(encoder, size=224, mean=..., std=...)"
    )


def encoders_from(spec: str) -> dict[str, AnyEncoder]:
    """The encoders that ``package.module:name`` stands for; its module is imported, and so run.

    The name is that of an encoder, of encoders by name, or of a function without arguments that
    returns one of these.

    Raises:
        InputError: no such module or name, or something else than encoders.
    """
    module_name, _, name = spec.partition(":")
    if not module_name or not name:
        raise InputError(f"--encoder-from: expected package.module:function, got {spec!r}")
    # As `python -m` does: a program of one's own lies where one stands.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        value: Any = importlib.import_module(module_name)
        for step in name.split("."):
            value = getattr(value, step)
    except (ImportError, AttributeError) as error:
        raise InputError(f"--encoder-from {spec}: {error}") from error
    if not isinstance(value, AnyEncoder | Mapping) and not hasattr(value, "pretrained_cfg"):
        try:
            value = value()
        # The function is the user's.
        except Exception as error:
            raise InputError(
                f"--encoder-from {spec}: expected a function without arguments that returns "
                f"mgm.wrap(...), or encoders by name; it raised {type(error).__name__}: {error}"
            ) from error
    named = value if isinstance(value, Mapping) else {name.rpartition(".")[2]: value}
    return {str(one): as_encoder(str(one), of) for one, of in named.items()}
