"""Comparison of converted networks whose taps are maps with the live networks of the libraries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from mgm_jax.encoders import Encoder
from tests.converters.live import normalised

TOLERANCE = {"float32": 1e-4, "bfloat16": 3e-2}


def torch_taps(
    network: Any,
    x: torch.Tensor,
    indices: Mapping[str, str],
    *,
    channels_last: tuple[str, ...] = (),
) -> dict[str, np.ndarray]:
    """Outputs of submodules by tap, from one pass of ``network`` over ``x``.

    Maps become ``[b, h, w, c]``; those of ``channels_last`` are already.
    """
    seen: dict[str, np.ndarray] = {}

    def keep(tap: str) -> Any:
        def hook(_: Any, __: Any, output: Any) -> None:
            value = output[0] if isinstance(output, tuple) else output
            if value.ndim == 4 and not tap.startswith(channels_last or ("\0",)):
                value = value.permute(0, 2, 3, 1)
            seen[tap] = value.numpy().copy()

        return hook

    handles = [
        network.get_submodule(position).register_forward_hook(keep(tap))
        for tap, position in indices.items()
    ]
    with torch.inference_mode():
        network(x)
    for handle in handles:
        handle.remove()
    return seen


def assert_parity(
    encoder: Encoder,
    network: Any,
    indices: Mapping[str, str],
    *,
    channels_last: tuple[str, ...] = (),
    bfloat16: bool = True,
    deep: bool = False,
) -> None:
    """Every tap equals the library's, in float32 and, with wider bounds, in bfloat16.

    ``places`` are the submodules of the taps; ``pool`` follows from the last map where it has none.
    """
    size = encoder.preprocess.size
    views = np.random.default_rng(1).random((2, size, size, 3), dtype=np.float32)
    theirs = torch_taps(network, normalised(encoder, views), indices, channels_last=channels_last)
    if "pool" in encoder.taps and "pool" not in theirs:
        last = encoder.taps[encoder.taps.index("pool") - 1]
        positions = theirs[last].reshape(len(views), -1, theirs[last].shape[-1])
        theirs["pool"] = positions.mean(1)
    assert set(theirs) == set(encoder.taps)
    for dtype in ("float32", "bfloat16")[: 1 + bfloat16]:
        ours = encoder.with_dtype(dtype).activations(views, taps=encoder.taps)  # type: ignore[arg-type]
        for tap, expected in theirs.items():
            got = np.asarray(ours[tap], np.float64)
            expected = expected.reshape(got.shape) if expected.ndim != got.ndim else expected
            assert got.shape == expected.shape, tap
            error = np.abs(got - expected).max() / np.abs(expected).max()
            # Roundings of a deep network without norms of its rows add up.
            bound = TOLERANCE[dtype] * (2 if deep and dtype == "bfloat16" else 1)
            assert error <= bound, (tap, dtype, error)
