"""Models of timm, run by PyTorch."""

from __future__ import annotations

import math
from typing import Any

from mgm_converters.foreign.request import ModelRequest
from mgm_jax.encoders import WrappedEncoder, wrap
from mgm_jax.errors import InputError

_INTERPOLATIONS = ("nearest", "bilinear", "bicubic")


def open_timm(name: str, request: ModelRequest) -> WrappedEncoder:
    """A model of timm: its pooled feature, ``output``, and submodules by name.

    Args:
        name: as ``timm.create_model`` takes it.
        request: taps are submodules, or ``all`` for its stages.

    Raises:
        InputError: timm is not installed, or knows no such model.
    """
    try:
        import timm
        import torch
        from timm.data.config import resolve_model_data_config
    except ImportError as error:
        raise InputError(f"torch:timm/{name}: pip install torch timm ({error})") from error
    size, seed, taps = request.size, request.seed, request.taps
    how: dict[str, Any] = {"num_classes": 0, "pretrained": seed is None}
    with torch.random.fork_rng():
        torch.manual_seed(seed or 0)
        try:
            module = _create(timm, name, how, size)
        # Names, networks and caches fail in many ways.
        except Exception as error:
            raise InputError(f"torch:timm/{name}: {type(error).__name__}: {error}") from error
    module.eval()
    config = resolve_model_data_config(module)
    side = size or int(config["input_size"][-1])
    interpolation = config["interpolation"]
    positions = _stages(module) if taps == "all" else tuple(tap for tap in taps if tap != "output")
    token = getattr(module, "cls_token", None) is not None
    encoder = wrap(
        module,
        size=side,
        resize=max(side, math.floor(side / float(config["crop_pct"]))),
        interpolation=interpolation if interpolation in _INTERPOLATIONS else "bicubic",
        mean=tuple(request.mean or config["mean"]),
        std=tuple(request.std or config["std"]),
        # The module's own output, the pooled feature, is that of the nameless submodule.
        taps={layer: layer for layer in positions} | {"output": ""},
        tokens="class" if token and getattr(module, "num_prefix_tokens", 0) else "mean",
        name=name,
        kind="timm model, run by PyTorch",
        meta={
            "architecture": name.partition(".")[0],
            "source": f"torch:timm/{name}",
            **request.untrained,
        },
    )
    return encoder


def _create(timm: Any, name: str, how: dict[str, Any], size: int | None) -> Any:
    if size is not None:
        try:
            # Networks with positions or windows are built for a size.
            return timm.create_model(name, img_size=size, **how)
        except TypeError:
            pass
    return timm.create_model(name, **how)


def _stages(module: Any) -> tuple[str, ...]:
    """The stages that timm itself names, those that a forward pass leads through."""
    known = {layer for layer, _ in module.named_modules()}
    positions = [str(one.get("module")) for one in getattr(module, "feature_info", [])]
    return tuple(dict.fromkeys(layer for layer in positions if layer in known))
