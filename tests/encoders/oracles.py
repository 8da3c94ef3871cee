"""Comparison of an encoder with a live PyTorch network, tap by tap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mgm_jax.encoders import Encoder, EncoderSpec, Preprocess, random_state

TOLERANCE = 1e-4


def busy_state(spec: EncoderSpec, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights in which no tensor is left at 0 or 1, as after training."""
    rng = np.random.default_rng(seed)
    state = random_state(spec, seed=seed)
    for name, value in state.items():
        if name.endswith("running_var") or (value.ndim == 1 and name.endswith(("weight", "gamma"))):
            state[name] = rng.uniform(0.5, 1.5, value.shape).astype(np.float32)
        elif value.ndim == 1 or "token" in name:
            state[name] = rng.normal(0, 0.2, value.shape).astype(np.float32)
    return state


def encoder_of(spec: EncoderSpec, state: Mapping[str, np.ndarray]) -> Encoder:
    """An encoder that leaves its pixels as they are."""
    size = spec.image_size
    return Encoder.from_state(
        state, name="under test", spec=spec, preprocess=Preprocess(size=size, resize=size)
    )


def views_of(spec: EncoderSpec, *, count: int = 2, seed: int = 1) -> np.ndarray:
    """Random views [b, s, s, 3] in [0, 1]."""
    shape = (count, spec.image_size, spec.image_size, 3)
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def load_into(network: Any, state: Mapping[str, np.ndarray], *, left: tuple[str, ...] = ()) -> Any:
    """Load a canonical state; only counters and names that start with ``left`` may be missing."""
    import torch

    tensors = {name: torch.from_numpy(value.copy()) for name, value in state.items()}
    missing, unexpected = network.load_state_dict(tensors, strict=False)
    unfilled = [n for n in missing if not n.startswith(left) or not left]
    assert [n for n in unfilled if not n.endswith("num_batches_tracked")] == []
    assert unexpected == []
    return network.eval()


def read_torch(network: Any, views: np.ndarray, places: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Outputs of submodules by tap: maps as [b, h, w, c], everything else as it comes."""
    import torch

    found: dict[str, np.ndarray] = {}

    def keep(tap: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            value = output.detach()
            found[tap] = (value.permute(0, 2, 3, 1) if value.ndim == 4 else value).numpy().copy()

        return hook

    hooks = [
        network.get_submodule(place).register_forward_hook(keep(tap))
        for tap, place in places.items()
    ]
    with torch.no_grad():
        network(torch.from_numpy(views.transpose(0, 3, 1, 2).copy()))
    for hook in hooks:
        hook.remove()
    return found


def relative_error(got: Any, expected: Any) -> float:
    """Largest deviation over the largest value, float64."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    assert got.shape == expected.shape
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def assert_taps_agree(encoder: Encoder, views: np.ndarray, expected: Mapping[str, Any]) -> None:
    """Every tap of the encoder was read from PyTorch and agrees within the tolerance."""
    assert set(expected) == set(encoder.taps)
    got = encoder.activations(views, taps=encoder.taps)
    errors = {tap: relative_error(got[tap], expected[tap]) for tap in encoder.taps}
    assert max(errors.values()) <= TOLERANCE, errors
