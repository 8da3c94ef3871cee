"""Files of JAX code: one ViT as npz, msgpack and Orbax, against a Flax network of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flax.linen as nn
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from mgm_converters import convert
from mgm_converters.reading.jax_files import read_jax
from mgm_jax.conversion import convert_entry
from mgm_jax.errors import InputError
from mgm_jax.study import make_study
from mgm_jax.sweep import run_study

DIM, HEADS, HIDDEN, PATCH, SIZE = 192, 3, 384, 8, 32


class MlpBlock(nn.Module):
    @nn.compact
    def __call__(self, x):
        hidden = nn.gelu(nn.Dense(HIDDEN)(x))
        return nn.Dense(x.shape[-1])(hidden)


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        y = nn.LayerNorm()(x)
        x = x + nn.MultiHeadDotProductAttention(num_heads=HEADS)(y, y)
        y = nn.LayerNorm()(x)
        return x + MlpBlock()(y)


class Encoder(nn.Module):
    @nn.compact
    def __call__(self, x):
        for i in range(2):
            x = Block(name=f"encoderblock_{i}")(x)
        return nn.LayerNorm(name="encoder_norm")(x)


class MAPHead(nn.Module):
    @nn.compact
    def __call__(self, x):
        probe = self.param("probe", nn.initializers.xavier_uniform(), (1, 1, DIM))
        probe = jnp.tile(probe, (len(x), 1, 1))
        x = nn.MultiHeadDotProductAttention(num_heads=HEADS)(probe, x)
        y = nn.LayerNorm()(x)
        return (x + MlpBlock()(y))[:, 0]


class ViT(nn.Module):
    """As big_vision writes it: no class token, pooled by an attention."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(DIM, (PATCH, PATCH), (PATCH, PATCH), padding="VALID", name="embedding")(x)
        x = x.reshape(len(x), -1, DIM)
        shape = (1, x.shape[1], DIM)
        x = x + self.param("pos_embedding", nn.initializers.normal(0.1), shape)
        x = Encoder(name="Transformer")(x)
        return x, MAPHead(name="MAPHead_0")(x)


@pytest.fixture(scope="module")
def params() -> Any:
    """Weights of the network, none at its initial 0 or 1."""
    blank = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32)
    shapes = jax.eval_shape(ViT().init, jax.random.key(0), blank)["params"]
    rng = np.random.default_rng(0)

    def drawn(path: Any, leaf: Any) -> np.ndarray:
        return rng.normal(float(path[-1].key == "scale"), 0.1, leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(drawn, shapes)


def write(params: Any, folder: Path, kind: str) -> Path:
    if kind == "npz":
        flat = jax.tree_util.tree_leaves_with_path({"params": {"img": params, "t": np.ones(1)}})
        names = {"/".join(step.key for step in path): value for path, value in flat}
        np.savez(folder / "siglip.npz", **names)
        return folder / "siglip.npz"
    if kind == "msgpack":
        file = folder / "flax_model.msgpack"
        file.write_bytes(flax.serialization.to_bytes({"params": params}))
        return file
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "orbax", {"params": params, "step": np.int32(3)})
    return folder / "orbax"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["npz", "msgpack", "orbax"])
def test_a_vit_with_a_pool_equals_its_own_flax_network(params, tmp_path, kind):
    encoder = convert(write(params, tmp_path, kind)).encoder
    assert encoder.spec.gelu == "tanh" and encoder.preprocess.mean == (0.5,) * 3
    views = np.random.default_rng(0).random((2, SIZE, SIZE, 3), dtype=np.float32)
    tokens, pooled = jax.jit(ViT().apply)({"params": params}, 2 * views - 1)
    ours = encoder.activations(views, taps=encoder.taps)
    for tap, theirs in (("norm", tokens), ("attention_pool", pooled)):
        error = np.abs(ours[tap] - theirs).max() / np.abs(theirs).max()
        assert error <= 1e-4, (tap, error)


def test_names_of_vision_transformer(params, tmp_path, timm):
    """A class token, other numbers of layers, and positions under posembed_input."""
    flat = {
        "/".join(step.key for step in path): value
        for path, value in jax.tree_util.tree_leaves_with_path(params)
        if path[0].key != "MAPHead_0"
    }
    positions = flat.pop("pos_embedding")
    spelt = {
        name.replace("MultiHeadDotProductAttention_0", "MultiHeadDotProductAttention_1")
        .replace("LayerNorm_1", "LayerNorm_2")
        .replace("MlpBlock_0", "MlpBlock_3"): value
        for name, value in flat.items()
    }
    spelt["cls"] = np.full((1, 1, DIM), 0.3, np.float32)
    joined = np.concatenate([np.full((1, 1, DIM), 0.2, np.float32), positions], axis=1)
    spelt["Transformer/posembed_input/pos_embedding"] = joined
    spelt["head/kernel"] = np.ones((DIM, 4), np.float32)
    np.savez(tmp_path / "B_16.npz", **spelt)
    conversion = convert(tmp_path / "B_16.npz")
    assert conversion.encoder.default_tap == "cls"
    assert conversion.report.dropped["head.kernel"] == "a head, not the encoder"
    assert not conversion.report.left
    theirs = timm.models.VisionTransformer(
        img_size=SIZE,
        patch_size=PATCH,
        embed_dim=DIM,
        depth=2,
        num_heads=HEADS,
        mlp_ratio=HIDDEN / DIM,
        num_classes=4,
        act_layer="gelu_tanh",
    )
    # timm reads these files, too.
    theirs.load_pretrained(str(tmp_path / "B_16.npz"))
    views = np.random.default_rng(0).random((2, SIZE, SIZE, 3), dtype=np.float32)
    with torch.inference_mode():
        tokens = theirs.eval().forward_features(
            torch.from_numpy(2 * views.transpose(0, 3, 1, 2) - 1)
        )
    np.testing.assert_allclose(conversion.encoder.features(views)["cls"], tokens[:, 0], atol=1e-4)


def test_half_precision_in_an_npz(tmp_path):
    import ml_dtypes

    values = np.arange(5, dtype=np.float32).astype(ml_dtypes.bfloat16)
    np.savez(tmp_path / "half.npz", **{"a/b": values})
    results = read_jax(tmp_path / "half.npz")["a.b"]
    np.testing.assert_array_equal(results.astype(np.float32), np.arange(5))


def test_an_archive_that_unfolds_to_far_more_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(2**25, np.float32))
    with pytest.raises(InputError, match="--limits 10"):
        convert(tmp_path / "x.npz")


@pytest.mark.slow
def test_a_study_takes_a_folder_of_orbax(params, tmp_path):
    folder = write(params, tmp_path, "orbax")
    study = make_study(
        {
            "encoders": [{"source": str(folder), "name": "mine"}],
            "images": [{"source": "digits", "per_class": 3}],
            "augmentation": None,
        }
    )
    result = run_study(study, tmp_path / "out", convert=convert_entry, until="embed")
    assert not result.failures


@pytest.mark.parametrize("name", ["x.npz", "x.msgpack"])
def test_damaged_files_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x93 no such thing")
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        read_jax(tmp_path / name)


def test_objects_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.array([print], dtype=object))
    with pytest.raises(InputError, match="allow_pickle"):
        read_jax(tmp_path / "x.npz")
