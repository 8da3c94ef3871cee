"""Modules of Flax NNX and Equinox as encoders, against their own forward pass."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mgm_jax.encoders import wrap
from mgm_jax.errors import InputError

SIZE = 16
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
VIEWS = np.random.default_rng(0).random((3, SIZE, SIZE, 3), dtype=np.float32)
INPUT = (VIEWS - np.float32(MEAN)) / np.float32(STD)
HOW = {"size": SIZE, "mean": MEAN, "std": STD}


class Small(nnx.Module):
    """A layer with statistics and dropout, which must be read as for evaluation."""

    def __init__(self, seed: int) -> None:
        rngs = nnx.Rngs(seed)
        self.conv = nnx.Conv(3, 5, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(5, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(5, 4, rngs=rngs)

    def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
        hidden = nnx.relu(self.norm(self.conv(x)))
        return {"map": hidden, "head": self.head(self.drop(hidden.mean((1, 2))))}


def test_an_nnx_module_is_read_as_for_evaluation_and_left_as_it_was():
    module = Small(0)
    module.norm.mean[...] = jnp.arange(5) / 5
    encoder = wrap(module, **HOW)
    assert (encoder.kind, encoder.spec.tap_widths) == ("Flax NNX module", {"map": 5, "head": 4})
    found = encoder.features(VIEWS, taps=("map", "head"))
    before = np.asarray(module.norm.mean[...])
    module.eval()
    expected = module(jnp.asarray(INPUT))
    np.testing.assert_allclose(found["head"], expected["head"], atol=1e-5)
    np.testing.assert_allclose(found["map"], expected["map"].mean((1, 2)), atol=1e-5)
    np.testing.assert_array_equal(before, np.arange(5, dtype=np.float32) / 5)


def test_the_digest_of_an_nnx_module_follows_its_weights():
    one, same, other = (wrap(Small(seed), **HOW) for seed in (0, 0, 1))
    assert one.identity and one.digest == same.digest != other.digest


def test_an_equinox_module_sees_one_image_with_its_channels_first():
    eqx = pytest.importorskip("equinox", reason="modules of Equinox")
    keys = jax.random.split(jax.random.key(0), 2)
    module = eqx.nn.Sequential(
        [
            eqx.nn.Conv2d(3, 6, 3, key=keys[0]),
            eqx.nn.Lambda(lambda x: jax.nn.relu(x).mean((1, 2))),
            eqx.nn.Dropout(0.5),
            eqx.nn.Linear(6, 4, key=keys[1]),
        ]
    )
    encoder = wrap(module, **HOW)
    expected = jax.vmap(eqx.nn.inference_mode(module))(jnp.asarray(INPUT.transpose(0, 3, 1, 2)))
    assert encoder.kind == "Equinox module"
    np.testing.assert_allclose(encoder.features(VIEWS)["output"], expected, atol=1e-5)
    changed = eqx.tree_at(lambda tree: tree[3].bias, module, jnp.ones(4))
    assert wrap(module, **HOW).digest == encoder.digest != wrap(changed, **HOW).digest


def test_a_function_with_its_variables():
    weights = {"w": jnp.arange(6.0).reshape(3, 2)}
    encoder = wrap(lambda v, x: x.mean((1, 2)) @ v["w"], variables=weights, **HOW)
    expected = INPUT.mean((1, 2)) @ np.asarray(weights["w"])
    np.testing.assert_allclose(encoder.features(VIEWS)["output"], expected, atol=1e-4)


def test_maps_of_either_layout_are_averaged_over_positions():
    def maps(x):
        first = jnp.tile(x.transpose(0, 3, 1, 2), (1, 2, 1, 1))
        return {"last": x, "first": first, "tokens": x.reshape(len(x), -1, 3)}

    found = wrap(maps, **HOW).features(VIEWS, taps=("last", "first", "tokens"))
    expected = INPUT.mean((1, 2))
    np.testing.assert_allclose(found["last"], expected, atol=1e-5)
    np.testing.assert_allclose(found["first"], np.tile(expected, 2), atol=1e-5)
    np.testing.assert_allclose(found["tokens"], expected, atol=1e-5)
    token = wrap(maps, taps=["tokens"], tokens="class", **HOW).features(VIEWS)["tokens"]
    np.testing.assert_allclose(token, INPUT[:, 0, 0], atol=1e-5)


def test_a_map_whose_channels_cannot_be_told_is_refused():
    with pytest.raises(InputError, match="channels cannot be told from positions"):
        wrap(lambda x: x[:, :3, :3], size=SIZE)


def test_grey_encoders_see_grey_views():
    encoder = wrap(lambda x: x.reshape(len(x), -1), size=4, mean=[0.5], std=[0.5])
    views = VIEWS[:, :4, :4]
    grey = (views @ np.float32([0.299, 0.587, 0.114]) - 0.5) / 0.5
    np.testing.assert_allclose(encoder.features(views)["output"], grey.reshape(3, -1), atol=1e-5)


def test_what_a_program_reads_from_python_has_no_digest():
    def reads(x):
        shape = jax.ShapeDtypeStruct((len(x), 3), x.dtype)
        return jax.pure_callback(lambda a: np.asarray(a).mean((1, 2)), shape, x)

    encoder = wrap(reads, **HOW)
    assert encoder.identity is None
    assert encoder.digest == encoder.digest != wrap(reads, **HOW).digest


@pytest.mark.parametrize(
    ("fn", "options", "message"),
    [
        (Small(0), {"variables": {}}, "variables: an NNX module holds its own"),
        (lambda x: x, {"layout": "chw"}, "layout: expected nhwc or nchw"),
        (lambda x: x, {"tokens": "last"}, "tokens: expected mean or class"),
        (lambda x: x, {"taps": "a"}, r"taps: expected a list of layers, such as \['a'\]"),
    ],
)
def test_options_that_do_not_fit_are_said(fn, options, message):
    with pytest.raises(InputError, match=message):
        wrap(fn, size=SIZE, **options)
