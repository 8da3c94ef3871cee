"""The convolution against float64 sums over shifted maps, in each of its forms."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgm_jax.encoders.networks.layers.convolution import (
    Pads,
    convolve,
    max_pool,
    window_pads,
)


def windows(x: np.ndarray, size: int, stride: int, pads: Pads, fill: float) -> np.ndarray:
    """Every window of every map, [b, rows, columns, c, size, size], float64."""
    padded = np.pad(x.astype(np.float64), ((0, 0), *pads, (0, 0)), constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    return view[:, ::stride, ::stride]


# The first four end in maps of at most nine pixels or are 1x1: a product on the CPU.
CASES = [
    ((2, 2, 2, 5), 3, 1, "torchvision"),
    ((2, 6, 6, 4), 3, 2, "torchvision"),
    ((2, 6, 6, 4), 3, 2, "tf-same"),
    ((1, 9, 7, 4), 1, 2, "torchvision"),
    ((2, 8, 11, 3), 3, 1, "torchvision"),
    ((1, 16, 16, 3), 7, 2, "torchvision"),
    ((1, 16, 15, 3), 7, 2, "tf-same"),
    # Many channels: one product of a small map, shifted products of a larger one.
    ((1, 7, 6, 256), 3, 1, "torchvision"),
    ((1, 11, 9, 256), 3, 1, "torchvision"),
    ((1, 11, 9, 256), 3, 2, "tf-same"),
]


@pytest.mark.parametrize(("shape", "size", "stride", "padding"), CASES)
def test_equals_float64_sums(
    shape: tuple[int, int, int, int], size: int, stride: int, padding: str
) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype(np.float32)
    kernel = rng.normal(size=(size, size, shape[-1], 6)).astype(np.float32)
    pads = window_pads(shape[1:3], size, stride, padding)  # type: ignore[arg-type]
    expected = np.einsum("bxyihw,hwio->bxyo", windows(x, size, stride, pads, 0.0), kernel)
    got = jax.jit(lambda x, k: convolve(x, k, stride=stride, pads=pads))(x, kernel)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("side", "size", "padding"), [(15, 7, "tf-same"), (16, 7, "torchvision"), (9, 3, "torchvision")]
)
def test_over_blocks_of_pixels_as_on_a_tpu(
    side: int, size: int, padding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_tpu(*arguments: Any, tpu: Any, **others: Any) -> Any:
        return tpu(*arguments)

    monkeypatch.setattr(jax.lax, "platform_dependent", on_tpu)
    rng = np.random.default_rng(3)
    x = rng.normal(size=(1, 16, side, 3)).astype(np.float32)
    kernel = rng.normal(size=(size, size, 3, 4)).astype(np.float32)
    pads = window_pads(x.shape[1:3], size, 2, padding)  # type: ignore[arg-type]
    expected = np.einsum("bxyihw,hwio->bxyo", windows(x, size, 2, pads, 0.0), kernel)
    got = jax.jit(lambda x, k: convolve(x, k, stride=2, pads=pads))(x, kernel)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [4, 128])
@pytest.mark.parametrize(("size", "stride"), [(1, 2), (3, 1), (3, 2)])
def test_bfloat16_is_rounded_once(channels: int, size: int, stride: int) -> None:
    rng = np.random.default_rng(2)
    x = jnp.asarray(rng.normal(size=(2, 9, 8, channels)), jnp.bfloat16)
    kernel = jnp.asarray(rng.normal(size=(size, size, channels, 6)), jnp.bfloat16)
    pads = window_pads((9, 8), size, stride, "torchvision")
    wide = np.asarray(kernel, np.float64)
    expected = np.einsum("bxyihw,hwio->bxyo", windows(np.asarray(x), size, stride, pads, 0), wide)
    got = jax.jit(lambda x, k: convolve(x, k, stride=stride, pads=pads))(x, kernel)
    assert got.dtype == jnp.bfloat16
    # Half a unit in the last of eight places; sums in bfloat16 would be off by many.
    np.testing.assert_allclose(np.asarray(got, np.float64), expected, rtol=2**-8, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
@pytest.mark.parametrize(("size", "padding"), [(2, "tf-same"), (3, "torchvision")])
def test_max_pool_equals_windows_and_padding_never_wins(
    size: int, padding: str, dtype: Any
) -> None:
    x = -1 - np.random.default_rng(1).random((2, 7, 6, 3), dtype=np.float32).astype(dtype)
    pads = window_pads((7, 6), size, 2, padding)  # type: ignore[arg-type]
    expected = windows(x, size, 2, pads, -np.inf).max(axis=(-2, -1))
    np.testing.assert_array_equal(
        max_pool(jnp.asarray(x), size=size, stride=2, pads=pads), expected
    )


@given(side=st.integers(1, 300), size=st.sampled_from([1, 2, 3, 7]), stride=st.integers(1, 4))
def test_same_padding_is_the_one_of_xla(side: int, size: int, stride: int) -> None:
    pads = window_pads((side, side), size, stride, "tf-same")
    expected = jax.lax.padtype_to_pads((side, side), (size, size), (stride, stride), "SAME")
    assert [tuple(pad) for pad in pads] == [tuple(pad) for pad in expected]
