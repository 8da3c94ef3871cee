"""Vision transformers in the names of their own repositories: the same weights as another spelling.

The other spelling is compared with live networks in ``test_vit_families``; here the weights have
to arrive bit for bit the same, so the features are the same too. The maps are written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from mgm_converters import convert
from tests.converters.live import DIM, HF
from tests.converters.networks import small_vit

torch = pytest.importorskip("torch")


def mapped(weights: Mapping[str, Any], rules: list[tuple[str, str]]) -> dict[str, Any]:
    """Names by the first rule that fits; a weight that none fits is an error of the test."""
    made = {}
    for name, value in weights.items():
        result = next((p for p in rules if re.fullmatch(p[0], name)), None)
        assert result is not None, name
        made[re.sub(result[0], result[1], name)] = value
    return made


def fused(weights: dict[str, Any], *, blank_key: bool = False) -> dict[str, Any]:
    """``X.q``, ``X.k``, ``X.v`` joined to ``X.qkv``."""
    made = dict(weights)
    for name in [name for name in weights if re.search(r"\.q\.(weight|bias)$", name)]:
        parts = [made.pop(name)]
        key = name.replace(".q.", ".k.")
        parts.append(made.pop(key) if key in made else torch.full_like(parts[0], 3.0))
        parts.append(made.pop(name.replace(".q.", ".v.")))
        joined = torch.cat(parts)
        made[name.replace(".q.", ".qkv.")] = joined
        if blank_key and name.endswith("bias"):
            mask = torch.ones_like(joined)
            mask[len(mask) // 3 : 2 * len(mask) // 3] = 0
            made[name.replace(".q.bias", ".qkv.bias_mask")] = mask
    return made


def saved(live: Any, folder: Any) -> Any:
    live.save_pretrained(folder)
    return convert(folder / "model.safetensors", verify=False)


def dinov2_own(weights: Mapping[str, Any], *, chunked: bool = False) -> dict[str, Any]:
    block = r"encoder\.layer\.(\d+)\."
    ours = r"blocks.0.\1." if chunked else r"blocks.\1."
    return fused(
        mapped(
            weights,
            [
                (r"embeddings\.(cls_token|mask_token|register_tokens)", r"\1"),
                (r"embeddings\.position_embeddings", "pos_embed"),
                (r"embeddings\.patch_embeddings\.projection\.(.*)", r"patch_embed.proj.\1"),
                (block + r"attention\.([qkv])_proj\.(.*)", ours + r"attn.\2.\3"),
                (block + r"attention\.o_proj\.(.*)", ours + r"attn.proj.\2"),
                (block + r"layer_scale(\d)\.lambda1", ours + r"ls\2.gamma"),
                (block + r"mlp\.down_proj\.(.*)", ours + r"mlp.w3.\2"),
                (block + r"mlp\.gate_proj\.(.*)", ours + r"mlp.w1.\2"),
                (block + r"mlp\.up_proj\.(.*)", ours + r"mlp.w2.\2"),
                (block + r"(norm\d|mlp\.fc\d)\.(.*)", ours + r"\2.\3"),
                (r"layernorm\.(.*)", r"norm.\1"),
            ],
        )
    )


def packed(weights: dict[str, Any]) -> dict[str, Any]:
    """``w1`` and ``w2`` joined to ``w12``, as DINOv2's own files have them."""
    made = dict(weights)
    for name in [name for name in weights if ".mlp.w1." in name]:
        other = name.replace(".w1.", ".w2.")
        made[name.replace(".w1.", ".w12.")] = torch.cat([made.pop(name), made.pop(other)])
    return made


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "gated", "registers", "chunked"])
def test_dinov2(transformers, randomised, tmp_path, write, kind):
    registers = kind == "registers"
    stem = "Dinov2WithRegisters" if registers else "Dinov2"
    gate = {"use_swiglu_ffn": True} if kind == "gated" else {}
    config = getattr(transformers, f"{stem}Config")(**(HF | {"mlp_ratio": 2} | gate))
    live = randomised(getattr(transformers, f"{stem}Model")(config))
    expected = saved(live, tmp_path).encoder
    own = packed(dinov2_own(live.state_dict(), chunked=kind == "chunked"))
    if kind == "chunked":
        # A training keeps its heads beside the backbone.
        own = {f"backbone.{name}": value for name, value in own.items()}
        own = {"teacher": own | {"dino_head.mlp.0.weight": torch.zeros(2, 2)}}
    conversion = convert(write(own), verify=False)
    assert conversion.encoder.weights_sha256 == expected.weights_sha256
    assert conversion.encoder.spec == expected.spec
    assert conversion.encoder.spec.position_resize == ("antialias" if registers else "offset")
    assert not conversion.report.left


@pytest.mark.parametrize("gated", [False, True])
def test_dinov3(transformers, randomised, tmp_path, write, gated):
    gate = {"use_gated_mlp": True, "hidden_act": "silu"} if gated else {}
    config = transformers.DINOv3ViTConfig(**(HF | {"num_register_tokens": 4} | gate))
    live = randomised(transformers.DINOv3ViTModel(config))
    expected = saved(live, tmp_path).encoder
    block = r"model\.layer\.(\d+)\."
    up, down = ("w2", "w3") if gated else ("fc1", "fc2")
    own = fused(
        mapped(
            live.state_dict(),
            [
                (r"embeddings\.(cls_token|mask_token)", r"\1"),
                (r"embeddings\.register_tokens", "storage_tokens"),
                (r"embeddings\.patch_embeddings\.(.*)", r"patch_embed.proj.\1"),
                (block + r"attention\.([qkv])_proj\.(.*)", r"blocks.\1.attn.\2.\3"),
                (block + r"attention\.o_proj\.(.*)", r"blocks.\1.attn.proj.\2"),
                (block + r"layer_scale(\d)\.lambda1", r"blocks.\1.ls\2.gamma"),
                (block + r"mlp\.gate_proj\.(.*)", r"blocks.\1.mlp.w1.\2"),
                (block + r"mlp\.up_proj\.(.*)", rf"blocks.\1.mlp.{up}.\2"),
                (block + r"mlp\.down_proj\.(.*)", rf"blocks.\1.mlp.{down}.\2"),
                (block + r"(norm\d)\.(.*)", r"blocks.\1.\2.\3"),
                (r"norm\.(.*)", r"norm.\1"),
            ],
        ),
        # A bias of the keys is stored, and never used.
        blank_key=True,
    )
    periods = 100.0 ** (2 * torch.arange(16) / 32)
    own |= {
        "rope_embed.periods": periods,
        "local_cls_norm.weight": torch.ones(DIM),
        "local_cls_norm.bias": torch.zeros(DIM),
    }
    conversion = convert(write(own), verify=False)
    encoder = conversion.encoder
    assert encoder.spec == expected.spec and encoder.spec.layer_norm_eps == 1e-5
    np.testing.assert_allclose(
        encoder.params["rope_periods"], expected.params["rope_periods"], rtol=1e-6
    )
    for name, part in expected.params.items():
        if name.startswith("blocks"):
            for leaf in ("kernel", "bias"):
                np.testing.assert_array_equal(
                    encoder.params[name]["attn"]["qkv"][leaf], part["attn"]["qkv"][leaf]
                )
    assert conversion.report.method == "DINOv3"


def clip_own(weights: Mapping[str, Any]) -> dict[str, Any]:
    block = r"vision_model\.encoder\.layers\.(\d+)\."
    ours = r"visual.transformer.resblocks.\1."
    rules = [
        (r"vision_model\.embeddings\.class_embedding", "visual.class_embedding"),
        (r"vision_model\.embeddings\.position_embedding\.weight", "visual.positional_embedding"),
        (r"vision_model\.embeddings\.patch_embedding\.(.*)", r"visual.conv1.\1"),
        (r"vision_model\.pre_layrnorm\.(.*)", r"visual.ln_pre.\1"),
        (r"vision_model\.post_layernorm\.(.*)", r"visual.ln_post.\1"),
        (block + r"self_attn\.([qkv])_proj\.(.*)", ours + r"attn.\2.\3"),
        (block + r"self_attn\.out_proj\.(.*)", ours + r"attn.out_proj.\2"),
        (block + r"layer_norm(\d)\.(.*)", ours + r"ln_\2.\3"),
        (block + r"mlp\.fc1\.(.*)", ours + r"mlp.c_fc.\2"),
        (block + r"mlp\.fc2\.(.*)", ours + r"mlp.c_proj.\2"),
        (r"visual_projection\.weight", "visual.proj"),
    ]
    own = fused(mapped(weights, rules))
    own = {re.sub(r"attn\.qkv\.", "attn.in_proj_", name): value for name, value in own.items()}
    own["visual.proj"] = own["visual.proj"].T.contiguous()
    text = {
        "positional_embedding": torch.zeros(5, 6),
        "text_projection": torch.zeros(6, 4),
        "logit_scale": torch.tensor(1.0),
        "transformer.resblocks.0.attn.in_proj_weight": torch.zeros(18, 6),
        "token_embedding.weight": torch.zeros(9, 6),
        "ln_final.weight": torch.ones(6),
    }
    return own | text


class Tree(torch.nn.Module):
    """Tensors under any names, as a module that TorchScript can write."""

    def __init__(self, weights: Mapping[str, Any]) -> None:
        super().__init__()
        below: dict[str, dict[str, Any]] = {}
        for name, value in weights.items():
            first, _, rest = name.partition(".")
            if rest:
                below.setdefault(first, {})[rest] = value
            else:
                self.register_parameter(first, torch.nn.Parameter(value, requires_grad=False))
        for name, part in below.items():
            self.add_module(name, Tree(part))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_clip_of_openai_and_openclip(transformers, randomised, tmp_path, write):
    config = transformers.CLIPVisionConfig(**HF, projection_dim=20)
    live = randomised(transformers.CLIPVisionModelWithProjection(config))
    expected = saved(live, tmp_path).encoder
    own = clip_own(live.state_dict())

    open_clip = convert(write(own), verify=False)
    assert open_clip.encoder.weights_sha256 == expected.weights_sha256
    assert (open_clip.report.method, open_clip.encoder.spec.gelu) == ("OpenCLIP", "exact")

    archive = tmp_path / "ViT.pt"
    torch.jit.save(torch.jit.script(Tree(own)), archive)
    openai = convert(archive, verify=False)
    assert openai.report.format == "torchscript"
    assert openai.encoder.weights_sha256 == expected.weights_sha256
    assert (openai.report.method, openai.encoder.spec.gelu) == ("CLIP", "quick")
    assert openai.encoder.spec.layer_norm_eps == 1e-5


def ibot(weights: Mapping[str, Any]) -> dict[str, Any]:
    scaled = {re.sub(r"ls(.)\.gamma", r"gamma_\1", name): v for name, v in weights.items()}
    inner = {f"backbone.{name}": value for name, value in scaled.items()}
    extra = {"backbone.masked_embed": torch.zeros(1, DIM), "head.mlp.0.weight": torch.ones(2, 2)}
    return {"teacher": inner | extra, "student": dict(inner), "epoch": 3}


def msn(weights: Mapping[str, Any]) -> dict[str, Any]:
    inner = {f"module.{n}": v for n, v in weights.items()}
    head = {"module.fc.fc1.weight": torch.zeros(2, DIM), "module.fc.bn1.running_var": torch.ones(2)}
    return {"target_encoder": inner | head, "encoder": dict(inner), "prototypes": torch.ones(3, 2)}


def ijepa(weights: Mapping[str, Any]) -> dict[str, Any]:
    inner = {f"module.{n}": v for n, v in weights.items()}
    predictor = {"module.predictor_embed.weight": torch.zeros(4, DIM)}
    return {"encoder": dict(inner), "predictor": predictor, "target_encoder": inner, "opt": {}}


def moco(weights: Mapping[str, Any]) -> dict[str, Any]:
    twins = ("base_encoder", "momentum_encoder")
    inner = {f"module.{t}.{n}": v for t in twins for n, v in weights.items()}
    return {"state_dict": inner | {"module.predictor.0.weight": torch.ones(2, 2)}, "arch": "vit"}


def mae(weights: Mapping[str, Any]) -> dict[str, Any]:
    decoder = {"decoder_embed.weight": torch.zeros(4, DIM), "mask_token": torch.zeros(1, 1, 4)}
    return {"model": dict(weights) | decoder}


WRAPPED = {
    "iBOT": (ibot, {"init_values": 0.5}, "masked", "offset", "cls"),
    "MSN": (msn, {}, "masked", "bicubic", "blocks.1"),
    "I-JEPA": (
        ijepa, {"class_token": False, "global_pool": "avg"}, "masked", "bicubic", "patch_mean",
    ),
    "MoCo-v3": (moco, {}, "contrastive", "antialias", "cls"),
    "MAE": (mae, {}, "masked", "bicubic", "cls"),
}  # fmt: skip


@pytest.mark.parametrize("method", WRAPPED)
def test_layouts_around_timms_names(timm, randomised, write, method):
    wrap, options, paradigm, resize, feature = WRAPPED[method]
    live = randomised(small_vit(timm, num_classes=0, fc_norm=False, **options))
    plain = convert(write(live.state_dict(), "plain.pth"), verify=False).encoder
    conversion = convert(write(wrap(live.state_dict())), verify=False)
    assert conversion.encoder.weights_sha256 == plain.weights_sha256
    assert (conversion.report.method, conversion.report.paradigm) == (method, paradigm)
    spec = conversion.encoder.spec
    assert (spec.position_resize, spec.default_tap) == (resize, feature)
