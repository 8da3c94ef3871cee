"""SigLIP's pool by attention and EVA-02's rotations: timm's and Hugging Face's names, every tap."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from mgm_converters import convert
from tests.converters import networks
from tests.converters.live import (
    DIM,
    HEADS,
    LAYERS,
    PATCH,
    SIZE,
    SIZES,
    TOLERANCE,
    errors,
    of_timm,
    resized,
)

torch = pytest.importorskip("torch")
# Deep branches, small weights.
busy = partial(networks.busy, spread=0.4)


def assert_parity(encoder: Any, run: Any, *, size: tuple[int, int], bfloat16: bool) -> None:
    for dtype in ("float32", "bfloat16")[: 1 + bfloat16]:
        result = errors(encoder, run, size=size, dtype=dtype)
        # The gated MLP squares what its two branches lost.
        bound = TOLERANCE[dtype] * (2 if dtype == "bfloat16" else 1)
        assert max(result.values()) <= bound, (dtype, result)


def siglip_of_timm(timm: Any) -> Any:
    return busy(
        timm.models.vision_transformer.VisionTransformer(
            img_size=SIZE, patch_size=PATCH, embed_dim=DIM, depth=LAYERS, num_heads=HEADS,
            class_token=False, global_pool="map", num_classes=0,
            act_layer=partial(torch.nn.GELU, approximate="tanh"),
        )
    )  # fmt: skip


@pytest.mark.slow
def test_siglip_of_timm(timm, write):
    live = siglip_of_timm(timm)
    conversion = convert(write(live.state_dict()))
    encoder = conversion.encoder
    assert conversion.report.method == "SigLIP or SigLIP 2"
    assert encoder.default_tap == "attention_pool" and encoder.spec.gelu == "tanh"
    taps = of_timm(live)

    def run(x: torch.Tensor) -> dict[str, Any]:
        result = taps(x)
        return result | {"attention_pool": live.forward_head(result["norm"])}

    assert_parity(encoder, run, size=(SIZE, SIZE), bfloat16=True)


@pytest.mark.parametrize("both", [False, True], ids=["image tower", "both towers"])
def test_siglip_of_hugging_face(transformers, write, both):
    config = transformers.SiglipVisionConfig(
        hidden_size=DIM, intermediate_size=4 * DIM, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, image_size=SIZE, patch_size=PATCH,
        attn_implementation="eager",
    )  # fmt: skip
    live = busy(transformers.SiglipVisionModel(config))
    state = live.state_dict()
    if both:
        state = {f"vision_model.{name}": value for name, value in state.items()}
        state |= {"text_model.embeddings.token_embedding.weight": torch.zeros(3, 4)}
        state |= {"logit_scale": torch.zeros(1), "logit_bias": torch.zeros(1)}
    conversion = convert(write(state))
    assert not conversion.report.left

    def run(x: torch.Tensor) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        handle = live.get_submodule("embeddings.patch_embedding").register_forward_hook(
            lambda _, __, output: seen.update(patch_embed=output.flatten(2).transpose(1, 2))
        )
        out = live(x, output_hidden_states=True)
        handle.remove()
        seen |= {f"blocks.{i}": h for i, h in enumerate(out.hidden_states[1:])}
        return seen | {"norm": out.last_hidden_state, "attention_pool": out.pooler_output}

    assert_parity(conversion.encoder, run, size=(SIZE, SIZE), bfloat16=False)


def eva_of_timm(timm: Any, *, large: bool) -> Any:
    return busy(
        timm.models.eva.Eva(
            img_size=SIZE, patch_size=PATCH, embed_dim=DIM, depth=LAYERS, num_heads=HEADS,
            mlp_ratio=4 * 2 / 3, swiglu_mlp=True, scale_mlp=large, qkv_fused=not large,
            use_rot_pos_emb=True, ref_feat_shape=(16, 16), num_classes=0, dynamic_img_size=True,
        )
    )  # fmt: skip


def authors_names(state: dict[str, Any]) -> dict[str, Any]:
    """The files of EVA-02 itself: w1, w2, w3, biases by themselves, the table of rotations."""
    spelt = {
        "fc1_g": "w1", "fc1_x": "w2", "mlp.fc2": "mlp.w3", "mlp.norm": "mlp.ffn_ln",
        "attn.q_proj.bias": "attn.q_bias", "attn.v_proj.bias": "attn.v_bias",
    }  # fmt: skip

    def renamed(name: str) -> str:
        for theirs, ours in spelt.items():
            name = name.replace(theirs, ours)
        return name

    made = {renamed(name): value for name, value in state.items()}
    return made | {"rope.freqs_cos": torch.zeros(16, 16), "mask_token": torch.zeros(1, 1, DIM)}


@pytest.mark.slow
@pytest.mark.parametrize("spelling", ["joined", "apart", "authors"])
def test_eva02(timm, write, spelling):
    live = eva_of_timm(timm, large=spelling != "joined")
    state = live.state_dict()
    conversion = convert(write(authors_names(state) if spelling == "authors" else state))
    encoder = resized(conversion.encoder, "antialias")
    assert conversion.report.method == "EVA-02"
    assert encoder.spec.mlp_norm == (spelling != "joined") and encoder.default_tap == "fc_norm"
    taps = of_timm(live)

    def run(x: torch.Tensor) -> dict[str, Any]:
        result = taps(x)
        # There is no norm behind the last block, only one of the mean of the patches.
        last = result.pop("norm")
        cls, mean = last[:, 0], last[:, 1:].mean(1)
        result |= {"cls": cls, "patch_mean": mean, "cls_patch_mean": torch.cat([cls, mean], 1)}
        return result | {"fc_norm": live.fc_norm(mean)}

    size = SIZES[1] if spelling == "apart" else (SIZE, SIZE)
    assert_parity(encoder, run, size=size, bfloat16=spelling == "apart")
