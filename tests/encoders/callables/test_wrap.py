"""Encoders from callables: JAX functions, Flax modules, torch modules, plain NumPy."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.encoders import wrap
from mgm_jax.errors import InputError

SIZE = 8
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
VIEWS = np.random.default_rng(0).random((3, SIZE, SIZE, 3), dtype=np.float32)
EXPECTED = ((VIEWS - np.float32(MEAN)) / np.float32(STD)).mean(axis=(1, 2))
INPUT = {"size": SIZE, "mean": MEAN, "std": STD}


def test_the_same_function_in_every_kind_gives_the_same_features():
    def of_numpy(x):
        # NumPy's own, which JAX's abstract values do not enter.
        return np.asarray(x).copy().mean(axis=(1, 2))

    for fn, kind in (
        (lambda x: x.mean(axis=(1, 2)), "JAX function"),
        (of_numpy, "Python function"),
    ):
        encoder = wrap(fn, **INPUT)
        assert (encoder.kind, encoder.width(), encoder.default_tap) == (kind, 3, "output")
        np.testing.assert_allclose(encoder.features(VIEWS)["output"], EXPECTED, atol=1e-5)


def test_maps_are_averaged_and_images_are_framed():
    encoder = wrap(lambda x: x, **INPUT)
    np.testing.assert_allclose(encoder.features(VIEWS)["output"], EXPECTED, atol=1e-5)
    images = np.full((2, 20, 30, 3), 51, np.uint8)
    expected = (0.2 - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(encoder(images), np.tile(expected, (2, 1)), atol=1e-5)


def test_a_bound_linen_module_with_several_layers():
    class Two(nn.Module):
        @nn.compact
        def __call__(self, x):
            hidden = nn.relu(nn.Dense(5)(x))
            return {"hidden": hidden, "last": nn.Dense(4)(hidden.mean(axis=(1, 2)))}

    variables = Two().init(jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 3)))
    encoder = wrap(Two().bind(variables), **INPUT)
    assert encoder.spec.tap_widths == {"hidden": 5, "last": 4}
    found = encoder.features(VIEWS, taps=("hidden", "last"))
    x = (VIEWS - np.float32(MEAN)) / np.float32(STD)
    expected = Two().apply(variables, x)
    np.testing.assert_allclose(found["last"], expected["last"], atol=1e-5)
    np.testing.assert_allclose(found["hidden"], expected["hidden"].mean(axis=(1, 2)), atol=1e-5)


def test_layers_of_a_torch_module_by_hooks():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Dropout(0.5)
    )
    encoder = wrap(module, **INPUT, taps={"map": "1", "flat": "3"})
    assert encoder.kind == "PyTorch module" and encoder.spec.tap_widths == {"map": 4, "flat": 144}
    found = encoder.features(VIEWS, taps=("map", "flat"))
    x = torch.from_numpy(((VIEWS - np.float32(MEAN)) / np.float32(STD)).transpose(0, 3, 1, 2))
    with torch.inference_mode():
        expected = module.eval()[:2](x).numpy()
    module.train()
    np.testing.assert_allclose(found["map"], expected.mean((2, 3)), atol=1e-5)
    np.testing.assert_allclose(found["flat"], expected.reshape(3, -1), atol=1e-5)
    assert module.training
    with torch.no_grad():
        other = wrap(module, **INPUT, taps={"map": "1", "flat": "3"})
        module[0].bias += 1
        changed = wrap(module, **INPUT, taps={"map": "1", "flat": "3"})
    assert encoder.digest == other.digest != changed.digest


def test_the_digest_follows_the_answers_the_input_or_what_was_given():
    def double(x):
        return 2 * x

    def triple(x):
        return 3 * x

    one = wrap(double, **INPUT)
    assert one.digest == wrap(double, **INPUT, name="other").digest
    assert one.digest != wrap(triple, **INPUT).digest
    assert one.digest != wrap(double, size=SIZE).digest
    given = [wrap(fn, **INPUT, digest="v1").digest for fn in (double, triple)]
    assert given[0] == given[1] != one.digest


@pytest.mark.parametrize(
    ("fn", "options", "message"),
    [
        (3, {}, "callable"),
        (lambda x: x.sum(), {}, "of 2 images, got shape"),
        (lambda x: (x, x), {}, "got tuple"),
        (lambda x: x.no_such_thing, {}, "raised AttributeError"),
        (lambda x: {"a": x}, {"taps": ("b",)}, "gives no 'b'; it gives a"),
    ],
)
def test_what_is_no_encoder_is_said(fn, options, message):
    with pytest.raises(InputError, match=message):
        wrap(fn, size=SIZE, **options)


def test_a_layer_that_a_torch_module_lacks():
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match="no layer 'x'; it has 0"):
        wrap(torch.nn.Sequential(torch.nn.Flatten()), size=SIZE, taps=("x",))


def test_views_of_another_size_are_refused():
    with pytest.raises(InputError, match="expects"):
        wrap(lambda x: x, size=SIZE).features(np.zeros((1, 4, 4, 3), np.float32))
