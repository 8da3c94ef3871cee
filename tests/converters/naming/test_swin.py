"""Swin transformers: four spellings, shifted and filled-up windows, at every tap."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mgm_converters import convert
from mgm_jax.encoders import Preprocess, SwinSpec
from tests.converters.maps import assert_parity
from tests.converters.networks import busy

torch = pytest.importorskip("torch")

# Maps of 8 and 4: four shifted windows, then one.
SIZE, WINDOW = 32, 4
BLOCKS, HEADS, DIM = (2, 1), (2, 4), 8
SPEC = SwinSpec(image_size=SIZE, embed_dim=DIM, blocks=BLOCKS, heads=HEADS, window=WINDOW)
OURS = [f"stages.{stage}.{block}" for stage, n in enumerate(BLOCKS) for block in range(n)]


def at(size: int) -> Preprocess:
    return Preprocess(size=size, resize=size, mean=(0.4,) * 3, std=(0.3,) * 3)


def of_timm(timm: Any, size: int = SIZE) -> Any:
    made = timm.models.swin_transformer.SwinTransformer(
        img_size=size, embed_dim=DIM, depths=BLOCKS, num_heads=HEADS, window_size=WINDOW,
        num_classes=0,
    )  # fmt: skip
    return busy(made)


PLACES = {"patch_embed": "patch_embed", "norm": "norm"} | {
    tap: f"layers.{tap.split('.')[1]}.blocks.{tap.split('.')[2]}" for tap in OURS
}
LAST = tuple(PLACES)


def authors_names(state: dict[str, Any]) -> dict[str, Any]:
    """Mergings at the end of the stage before, as in the published files, and their buffers."""

    def renamed(name: str) -> str:
        return re.sub(
            r"layers\.(\d)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", name
        )

    state = {renamed(name): value for name, value in state.items()}
    state["layers.0.blocks.1.attn_mask"] = torch.zeros(4, 16, 16)
    return state | {"layers.0.blocks.0.attn.relative_position_index": torch.zeros(16, 16).long()}


def moby(state: dict[str, Any]) -> dict[str, Any]:
    twins = {f"{twin}.{name}": v for twin in ("encoder", "encoder_k") for name, v in state.items()}
    return {"model": twins | {"projector.linear1.weight": torch.zeros(4, 4)}}


def simmim(state: dict[str, Any]) -> dict[str, Any]:
    inside = {f"encoder.{name}": value for name, value in state.items()}
    inside |= {"encoder.mask_token": torch.zeros(1, 1, DIM)}
    return {"model": inside | {"decoder.0.weight": torch.zeros(4, 4, 1, 1)}}


def esvit(state: dict[str, Any]) -> dict[str, Any]:
    inside = {f"module.{name}": value for name, value in state.items()}
    return {"teacher": inside, "student": inside, "epoch": 3}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrap", "method"),
    [(lambda state: state, ""), (moby, "MoBY"), (simmim, "SimMIM"), (esvit, "EsViT")],
    ids=["timm", "MoBY", "SimMIM", "EsViT"],
)
def test_timm_and_the_authors(timm, write, wrap, method):
    live = of_timm(timm)
    state = authors_names(live.state_dict()) if method else live.state_dict()
    conversion = convert(write(wrap(state)), preprocess=at(SIZE))
    assert conversion.encoder.spec == SPEC
    assert conversion.report.method == method
    assert_parity(conversion.encoder, live, PLACES, channels_last=LAST, bfloat16=not method)


def test_a_map_that_no_window_divides(timm, write):
    # Maps of 10 and 5, both filled up.
    live = of_timm(timm, size=40)
    conversion = convert(write(live.state_dict()), preprocess=at(40))
    assert_parity(conversion.encoder, live, PLACES, channels_last=LAST, bfloat16=False)


def test_torchvision(torchvision, write):
    made = torchvision.models.swin_transformer.SwinTransformer(
        [4, 4], DIM, list(BLOCKS), list(HEADS), [WINDOW, WINDOW], num_classes=3
    )
    live = busy(made)
    conversion = convert(write(live.state_dict()), preprocess=at(SIZE))
    assert conversion.encoder.spec == SPEC
    positions = {"patch_embed": "features.0", "norm": "norm"}
    positions |= {
        tap: f"features.{2 * int(tap.split('.')[1]) + 1}.{tap.split('.')[2]}" for tap in OURS
    }
    assert_parity(conversion.encoder, live, positions, channels_last=LAST, bfloat16=False)


@pytest.mark.parametrize("spelling", ["file", "memory"])
def test_hugging_face(transformers, tmp_path, write, spelling):
    config = transformers.SwinConfig(
        image_size=SIZE, embed_dim=DIM, depths=BLOCKS, num_heads=HEADS, window_size=WINDOW
    )
    live = busy(transformers.SwinModel(config))
    if spelling == "file":
        live.save_pretrained(tmp_path)
        conversion = convert(tmp_path / "model.safetensors", preprocess=at(SIZE))
    else:
        conversion = convert(write(live.state_dict()), preprocess=at(SIZE))
    assert conversion.encoder.spec == SPEC
    positions = {"patch_embed": "embeddings.norm", "norm": "layernorm"} | {
        tap: f"encoder.layers.{tap.split('.')[1]}.blocks.{tap.split('.')[2]}" for tap in OURS
    }
    # Rows of positions, which take the shape of ours.
    assert_parity(conversion.encoder, live, positions, channels_last=LAST, bfloat16=False)
