"""Every family of published vision transformers, converted and compared with live networks."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mgm_converters import convert
from tests.converters.live import (
    DIM,
    HEADS,
    HF,
    LAYERS,
    PATCH,
    SIZE,
    assert_parity,
    of_huggingface,
    of_timm,
    resized,
)

torch = pytest.importorskip("torch")

_PROJECTION = "embeddings.patch_embeddings.projection"
_GATED = {"use_gated_mlp": True, "hidden_act": "silu", "num_register_tokens": 4}

# Model and configuration of transformers, what differs there, the module of the patches, how its
# port resizes positions, the options of a call, and what our report is to say.
HUGGINGFACE: dict[str, tuple[str, dict[str, Any], str, str, dict[str, Any], str]] = {
    "ViT": ("ViT", {"layer_norm_eps": 1e-6}, _PROJECTION, "bicubic", {"interpolate": True}, ""),
    "MSN": ("ViTMSN", {}, _PROJECTION, "bicubic", {"interpolate": True}, "MSN"),
    "I-JEPA": (
        "IJepa",
        {"layer_norm_eps": 1e-6},
        _PROJECTION,
        "bicubic",
        {"interpolate": True},
        "I-JEPA",
    ),
    "DINOv2": ("Dinov2", {"mlp_ratio": 2}, _PROJECTION, "bicubic", {}, "DINOv2"),
    "DINOv2 giant": (
        "Dinov2",
        {"mlp_ratio": 2, "use_swiglu_ffn": True},
        _PROJECTION,
        "bicubic",
        {},
        "DINOv2",
    ),
    "DINOv2 with registers": (
        "Dinov2WithRegisters",
        {"mlp_ratio": 2},
        _PROJECTION,
        "antialias",
        {},
        "DINOv2 with registers",
    ),
    "DINOv3": (
        "DINOv3ViT",
        {"num_register_tokens": 4},
        "embeddings.patch_embeddings",
        "bicubic",
        {},
        "DINOv3",
    ),
    "DINOv3 gated": ("DINOv3ViT", _GATED, "embeddings.patch_embeddings", "bicubic", {}, "DINOv3"),
}


@pytest.mark.parametrize("family", HUGGINGFACE)
def test_ports_of_hugging_face_in_both_spellings(family, transformers, randomised, tmp_path):
    name, changes, patches, how, options, method = HUGGINGFACE[family]
    config = getattr(transformers, f"{name}Config")(**(HF | changes))
    live = randomised(getattr(transformers, f"{name}Model")(config))
    options = {"interpolate_pos_encoding": True} if options else {}
    live.save_pretrained(tmp_path)
    torch.save(live.state_dict(), tmp_path / "memory.pth")
    from_file = convert(tmp_path / "model.safetensors", verify=False)
    assert from_file.report.method == method
    encoder = resized(from_file.encoder, how)
    run = of_huggingface(live, patches=patches, **options)
    square = family in ("ViT", "DINOv2 with registers", "DINOv3")
    assert_parity(encoder, run, square=square, bfloat16=family in ("ViT", "DINOv3 gated"))

    # The names of the memory lead to the same weights, so to the same features.
    from_memory = convert(tmp_path / "memory.pth", verify=False)
    assert from_memory.encoder.weights_sha256 == encoder.weights_sha256
    assert from_memory.report.naming != from_file.report.naming


def timm_vit(timm: Any, **options: Any) -> Any:
    made = {"num_classes": 0, "mlp_ratio": 2, "global_pool": "", "dynamic_img_size": True} | options
    return timm.models.vision_transformer.VisionTransformer(
        img_size=SIZE, patch_size=PATCH, embed_dim=DIM, depth=LAYERS, num_heads=HEADS, **made
    )


def test_timms_registers_have_no_positions(timm, randomised, write):
    live = randomised(timm_vit(timm, reg_tokens=4, no_embed_class=True, init_values=0.5))
    conversion = convert(write(live.state_dict()), verify=False)
    assert conversion.report.method == "DINOv2 with registers"
    assert_parity(conversion.encoder, of_timm(live))


def test_timms_giant_dinov2_packs_its_gates(timm, randomised, write):
    live = randomised(
        timm_vit(
            timm,
            init_values=0.5,
            mlp_ratio=2.66667 * 2,
            mlp_layer=timm.layers.SwiGLUPacked,
            act_layer=torch.nn.SiLU,
        )
    )
    conversion = convert(write(live.state_dict()), verify=False)
    assert conversion.encoder.spec.mlp == "swiglu"
    assert_parity(resized(conversion.encoder, "antialias"), of_timm(live))


@pytest.mark.parametrize(("gated", "bias"), [(False, True), (True, False)])
def test_timms_dinov3(timm, randomised, write, gated, bias):
    live = randomised(
        timm.models.eva.Eva(
            img_size=SIZE,
            patch_size=PATCH,
            embed_dim=DIM,
            depth=LAYERS,
            num_heads=HEADS,
            mlp_ratio=2,
            dynamic_img_size=True,
            qkv_bias=bias,
            init_values=0.5,
            rope_type="dinov3",
            rope_temperature=100,
            rope_rotate_half=True,
            use_rot_pos_emb=True,
            use_abs_pos_emb=False,
            swiglu_mlp=gated,
            swiglu_align_to=8,
            num_reg_tokens=4,
            use_fc_norm=False,
            num_classes=0,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-5),
        )
    )
    conversion = convert(write(live.state_dict()), verify=False)
    assert conversion.report.method == "DINOv3"
    assert conversion.encoder.spec.qkv_bias == bias
    assert_parity(conversion.encoder, of_timm(live))


def test_a_fine_tuned_mae_averages_its_patches(timm, randomised, write):
    live = randomised(timm_vit(timm, num_classes=5, global_pool="avg", fc_norm=True))
    path = write({"model": live.state_dict()})
    conversion = convert(path, head=True, verify=False)
    spec = conversion.encoder.spec
    assert (spec.default_tap, spec.final_norm, spec.classes) == ("fc_norm", False, 5)

    def run(x: torch.Tensor) -> dict[str, Any]:
        taps = of_timm(live)(x)
        # Without a final norm the last block is what the heads read.
        last = taps.pop("norm")
        mean = last[:, 1:].mean(1)
        taps |= {"cls": last[:, 0], "patch_mean": mean}
        taps["cls_patch_mean"] = torch.cat([last[:, 0], mean], 1)
        return taps | {"fc_norm": live.forward_head(last, pre_logits=True), "logits": live(x)}

    assert_parity(resized(conversion.encoder, "antialias"), run)


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_clip(transformers, randomised, tmp_path, activation):
    config = transformers.CLIPVisionConfig(**HF, projection_dim=20, hidden_act=activation)
    live = randomised(transformers.CLIPVisionModelWithProjection(config))
    live.save_pretrained(tmp_path)
    conversion = convert(tmp_path, verify=False)
    assert (conversion.report.method, conversion.report.paradigm) == ("CLIP", "language")
    assert conversion.encoder.spec.gelu == {"gelu": "exact", "quick_gelu": "quick"}[activation]
    assert conversion.encoder.preprocess.mean[0] == 0.48145466

    def run(x: torch.Tensor) -> dict[str, Any]:
        tower = live.vision_model
        options = {"interpolate_pos_encoding": True}
        taps = of_huggingface(tower, patches="embeddings.patch_embedding", **options)(x)
        first = tower(x, output_hidden_states=True, **options).hidden_states[0]
        # Theirs normalises the class token alone.
        norm = tower.post_layernorm(taps["blocks.1"])
        return taps | {"norm_pre": first, "norm": norm, "proj": live(x, **options).image_embeds}

    assert_parity(resized(conversion.encoder, "bicubic"), run)


def test_timms_tower_of_openclip(timm, randomised, write):
    live = randomised(
        timm_vit(
            timm,
            pre_norm=True,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-5),
        )
    )
    tower = {f"visual.trunk.{name}": value for name, value in live.state_dict().items()}
    text = {"visual.head.proj.weight": torch.zeros(4, DIM), "text.ln_final.weight": torch.ones(3)}
    conversion = convert(write(tower | text), verify=False)
    assert (conversion.report.method, conversion.report.prefix) == ("OpenCLIP", "visual.trunk.")

    def run(x: torch.Tensor) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        handle = live.norm_pre.register_forward_hook(lambda *a: seen.update(norm_pre=a[2]))
        taps = of_timm(live)(x)
        handle.remove()
        return taps | seen

    assert_parity(conversion.encoder, run)


def test_folders_of_hugging_face_bring_their_settings(transformers, randomised, tmp_path: Path):
    config = transformers.ViTConfig(**(HF | {"num_attention_heads": 6, "hidden_act": "gelu_new"}))
    live = randomised(transformers.ViTModel(config))
    live.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        '{"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32},'
        ' "resample": 3, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}'
    )
    encoder = convert(tmp_path).encoder
    assert (encoder.spec.heads, encoder.spec.gelu) == (6, "tanh")
    assert encoder.spec.layer_norm_eps == 1e-6, "their default is no network's epsilon"
    assert (encoder.preprocess.size, encoder.preprocess.resize) == (32, 40)
    assert encoder.preprocess.mean == (0.1, 0.2, 0.3)
    assert encoder.name == tmp_path.name
