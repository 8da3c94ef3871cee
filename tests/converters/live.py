"""Comparison of converted vision transformers with the live networks of the libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from mgm_jax.encoders import Encoder, ViTSpec

TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}

# Width, depth and heads of all small networks here; 192 is the width of a published one.
DIM, LAYERS, HEADS, PATCH, SIZE = 192, 2, 3, 8, 32
HF = {
    "hidden_size": DIM,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 256,
    "image_size": SIZE,
    "patch_size": PATCH,
    "attn_implementation": "eager",
}

# Rows and columns: as trained, and neither square nor as trained.
SIZES = ((SIZE, SIZE), (24, 56))


def views_of(size: tuple[int, int], *, batch: int = 2) -> np.ndarray:
    return np.random.default_rng(1).uniform(size=(batch, *size, 3)).astype(np.float32)


def normalised(encoder: Encoder, views: np.ndarray) -> torch.Tensor:
    mean, std = (np.float32(v) for v in (encoder.preprocess.mean, encoder.preprocess.std))
    return torch.from_numpy(np.ascontiguousarray(((views - mean) / std).transpose(0, 3, 1, 2)))


def resized(encoder: Encoder, how: str) -> Encoder:
    """The encoder with positions resized as the library at hand does it, read at the usual tap."""
    assert isinstance(encoder.spec, ViTSpec)
    return replace(encoder, spec=replace(encoder.spec, position_resize=how, feature=""))


def errors(
    encoder: Encoder,
    run: Callable[[torch.Tensor], Mapping[str, Any]],
    *,
    size: tuple[int, int],
    dtype: str = "float32",
) -> dict[str, float]:
    """Relative error a tap against what ``run`` makes of the same normalised images.

    The taps behind the last block that ``run`` does not give follow from its ``norm``.
    """
    views = views_of(size)
    with torch.inference_mode():
        theirs = {k: v.float().numpy() for k, v in run(normalised(encoder, views)).items()}
    spec = encoder.spec
    assert isinstance(spec, ViTSpec)
    if "norm" in theirs:
        theirs["patch_mean"] = mean = theirs["norm"][:, spec.prefix :].mean(1)
        if spec.class_token:
            theirs["cls"] = theirs["norm"][:, 0]
            theirs["cls_patch_mean"] = np.concatenate([theirs["cls"], mean], 1)
    assert set(theirs) == set(encoder.taps)
    # All taps at once, so that one compilation serves every test of this spec.
    ours = encoder.with_dtype(dtype).activations(views, taps=encoder.taps)  # type: ignore[arg-type]
    result = {}
    for tap, expected in theirs.items():
        got = np.asarray(ours[tap], np.float64)
        assert got.shape == expected.shape, tap
        result[tap] = float(np.abs(got - expected).max() / np.abs(expected).max())
    return result


def assert_parity(
    encoder: Encoder,
    run: Callable[[torch.Tensor], Mapping[str, Any]],
    *,
    square: bool = False,
    bfloat16: bool = False,
) -> None:
    """At every tap, in float32, at a size that is neither square nor the trained one.

    ``square`` adds the trained size, ``bfloat16`` the other precision; each is compiled anew, and
    one of a kind of network is enough.
    """
    cases = [(SIZES[1], "float32"), *[(SIZES[1], "bfloat16")] * bfloat16]
    for size, dtype in cases + [(SIZES[0], "float32")] * square:
        result = errors(encoder, run, size=size, dtype=dtype)
        assert max(result.values()) <= TOLERANCE[dtype], (size, dtype, result)


def of_huggingface(
    network: Any, *, patches: str, **options: Any
) -> Callable[[torch.Tensor], dict[str, Any]]:
    """Every tap of a network of Hugging Face; ``patches`` is the module that projects them."""

    def run(x: torch.Tensor) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def keep(_: Any, __: Any, output: Any) -> None:
            seen["patch_embed"] = output.flatten(2).transpose(1, 2) if output.ndim == 4 else output

        handle = network.get_submodule(patches).register_forward_hook(keep)
        out = network(x, output_hidden_states=True, **options)
        handle.remove()
        seen |= {f"blocks.{i}": h for i, h in enumerate(out.hidden_states[1:])}
        return seen | {"norm": out.last_hidden_state}

    return run


def of_timm(network: Any) -> Callable[[torch.Tensor], dict[str, Any]]:
    """Every tap of a network of timm, which keeps the names that are ours."""

    def run(x: torch.Tensor) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def keep(tap: str) -> Any:
            def hook(_: Any, __: Any, output: Any) -> None:
                seen[tap] = output.flatten(1, 2) if output.ndim == 4 else output

            return hook

        positions = ["patch_embed", *(f"blocks.{i}" for i in range(len(network.blocks)))]
        handles = [network.get_submodule(p).register_forward_hook(keep(p)) for p in positions]
        tokens = network.forward_features(x)
        for handle in handles:
            handle.remove()
        return seen | {"norm": tokens}

    return run
