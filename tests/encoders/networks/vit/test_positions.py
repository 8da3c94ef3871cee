"""Positions at other sizes against PyTorch's own interpolation, and rotations by their formula."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.encoders import Preprocess, ViTSpec
from mgm_jax.encoders.networks.vit.positions import (
    default_periods,
    learned_positions,
    resize_matrix,
    rotary_tables,
    rotate,
)
from mgm_jax.errors import InputError
from tests.encoders.oracles import busy_state, encoder_of, relative_error

SMALL = ViTSpec(image_size=32, patch=8, embed_dim=48, layers=1, heads=3, mlp_dim=96)


# One patch across is left out: PyTorch's anti-aliased kernel is wrong there.
@pytest.mark.slow
# Every example is compiled anew.
@settings(max_examples=20, deadline=None)
@given(
    side=st.integers(2, 20),
    rows=st.integers(2, 40),
    columns=st.integers(2, 40),
    how=st.sampled_from(["bicubic", "antialias", "offset"]),
)
def test_any_grid_equals_pytorch(side, rows, columns, how):
    torch = pytest.importorskip("torch")
    grid = np.random.default_rng(side).normal(size=(side, side, 3)).astype(np.float32)
    tensor = torch.from_numpy(grid).permute(2, 0, 1)[None]
    options = {"size": (rows, columns), "antialias": how == "antialias"}
    if how == "offset":
        options = {"scale_factor": tuple((n + 0.1) / math.sqrt(side**2) for n in (rows, columns))}
    expected = torch.nn.functional.interpolate(tensor, mode="bicubic", **options)
    spec = ViTSpec(
        image_size=8 * side, patch=8, embed_dim=3, layers=1, heads=1, mlp_dim=4,
        class_token=False, position_resize=how,
    )  # fmt: skip
    got = learned_positions(grid.reshape(1, -1, 3), rows, columns, spec=spec)
    if (rows, columns) != (side, side):
        found = np.asarray(got).reshape(rows, columns, 3)
        assert relative_error(found, expected[0].permute(1, 2, 0).numpy()) <= 1e-5


@pytest.mark.parametrize("how", ["bicubic", "antialias", "offset"])
def test_a_constant_stays(how):
    for stored, wanted in ((3, 11), (14, 5), (37, 16)):
        rows = resize_matrix(stored, wanted, how=how).sum(axis=1)
        np.testing.assert_allclose(rows, 1.0, rtol=1e-12)


def test_rotation_keeps_lengths_and_leaves_the_first_tokens():
    tables = rotary_tables(default_periods(16), 3, 5)
    x = np.random.default_rng(0).normal(size=(2, 2, 4 + 15, 16)).astype(np.float32)
    turned = np.asarray(rotate(x, tables, skip=4))
    np.testing.assert_array_equal(turned[:, :, :4], x[:, :, :4])
    np.testing.assert_allclose(
        np.linalg.norm(turned, axis=-1), np.linalg.norm(x, axis=-1), rtol=1e-5
    )
    assert not np.allclose(turned[:, :, 4:], x[:, :, 4:])


def test_views_of_any_size_that_the_patch_divides():
    encoder = encoder_of(SMALL, busy_state(SMALL))
    views = np.random.default_rng(0).random((1, 24, 56, 3), dtype=np.float32)
    assert encoder.features(views)["cls"].shape == (1, 48)
    assert encoder.activations(views, taps=["norm"])["norm"].shape == (1, 1 + 3 * 7, 48)
    with pytest.raises(InputError, match="or other multiples of 8 pixels"):
        encoder.features(views[:, :20])
    larger = replace(encoder, preprocess=Preprocess(size=48, resize=48))
    assert larger(np.zeros((1, 60, 70, 3), np.uint8)).shape == (1, 48)
    with pytest.raises(InputError, match="multiple of the patch of 8"):
        replace(encoder, preprocess=Preprocess(size=50, resize=50))


def test_descriptions_from_before_keep_their_digest():
    """Fields that were added later are left out at their default."""
    assert set(SMALL.to_dict()) == {
        "family", "image_size", "patch", "embed_dim", "layers", "heads", "mlp_dim",
        "class_token", "registers", "layer_scale", "qkv_bias", "layer_norm_eps", "gelu",
    }  # fmt: skip
    assert replace(SMALL, position_resize="offset").to_dict()["position_resize"] == "offset"
