"""ConvNeXt of both versions: four libraries' names, at every tap."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mgm_converters import convert
from mgm_jax.encoders import ConvNeXtSpec, Preprocess
from tests.converters.maps import assert_parity
from tests.converters.networks import busy

torch = pytest.importorskip("torch")

SIZE = 72
BLOCKS, CHANNELS = (1, 2, 1, 1), (8, 12, 16, 20)
# A map of 9 pixels holds four whole 2x2 patches a side; the last row and column are left out.
PREPROCESS = Preprocess(size=SIZE, resize=SIZE, mean=(0.4,) * 3, std=(0.3,) * 3)
OURS = [f"stages.{stage}.{block}" for stage, n in enumerate(BLOCKS) for block in range(n)]


def of_timm(timm: Any, *, second: bool, **options: Any) -> Any:
    made = timm.models.convnext.ConvNeXt(
        depths=BLOCKS, dims=CHANNELS, use_grn=second, norm_eps=1e-6,
        ls_init_value=None if second else 1.0, **options,
    )  # fmt: skip
    return busy(made)


def places_of_timm(*, norm: bool = True) -> dict[str, str]:
    positions = {"stem": "stem"} | {tap: tap.replace(".", ".blocks.", 2) for tap in OURS}
    positions |= {tap: f"stages.{tap.split('.')[1]}.blocks.{tap.split('.')[2]}" for tap in OURS}
    return positions | ({"norm": "head.norm"} if norm else {})


def authors_names(state: dict[str, Any]) -> dict[str, Any]:
    """Names of timm as the authors have them."""
    renamed = {}
    for name, value in state.items():
        name = name.replace("stem.", "downsample_layers.0.")
        parts = name.split(".")
        if parts[0] == "stages" and parts[2] == "downsample":
            name = ".".join(["downsample_layers", parts[1], *parts[3:]])
        name = name.replace(".blocks.", ".").replace("conv_dw", "dwconv")
        name = name.replace("mlp.fc", "pwconv").replace("head.norm", "norm")
        if "mlp.grn" in name:
            name = name.replace("mlp.grn.weight", "grn.gamma").replace("mlp.grn.bias", "grn.beta")
            value = value.reshape(1, 1, 1, -1)
        renamed[name.replace("head.fc", "head")] = value
    return renamed


def sparse_names(state: dict[str, Any]) -> dict[str, Any]:
    """What the sparse library holds: places of a window as one axis, layers within layers."""
    made = {}
    for name, value in authors_names(state).items():
        if name.startswith(("norm", "head")):
            continue
        owner, _, part = name.rpartition(".")
        inner = not name.startswith("downsample_layers.0")
        if inner and value.ndim == 4 and part == "weight":
            # Their places run down the columns.
            name = f"{owner}.kernel"
            positions = value.permute(3, 2, 1, 0).flatten(0, 1)
            value = positions[:, 0] if ".dwconv" in owner else positions
        elif inner and "pwconv" in owner:
            name = f"{owner}.linear.{part}"
        elif inner and (owner.endswith(".norm") or owner.endswith(".0")) and value.ndim == 1:
            name = f"{owner}.ln.{part}"
        elif "grn" in owner or (part == "bias" and inner):
            value = value.reshape(1, -1)
        made[f"encoder.{name}"] = value
    return made | {"mask_token": torch.zeros(1, 4, 1, 1), "decoder.0.norm.weight": torch.ones(4)}


def checked(conversion: Any, **fields: Any) -> Any:
    spec = ConvNeXtSpec(blocks=BLOCKS, channels=CHANNELS, image_size=SIZE, **fields)
    assert conversion.encoder.spec == spec
    assert not conversion.report.left
    return conversion.encoder


@pytest.mark.parametrize("matrices", ["linear", "1x1 convolutions"])
def test_first_version_of_timm(timm, write, matrices):
    live = of_timm(timm, second=False, num_classes=3, conv_mlp=matrices != "linear")
    conversion = convert(write(live.state_dict()), preprocess=PREPROCESS, head=True)
    encoder = checked(conversion, classes=3)
    positions = places_of_timm() | {"logits": "head.fc"}
    assert_parity(encoder, live, positions, bfloat16=False)


@pytest.mark.parametrize("spelling", ["timm", "authors", "sparse"])
def test_second_version(timm, write, spelling):
    live = of_timm(timm, second=True, num_classes=0)
    names = {"timm": dict, "authors": authors_names, "sparse": sparse_names}[spelling]
    conversion = convert(write({"model": names(live.state_dict())}), preprocess=PREPROCESS)
    masked = spelling == "sparse"
    encoder = checked(conversion, layer_scale=False, response_norm=True, final_norm=not masked)
    assert (conversion.report.method == "FCMAE") == masked
    assert_parity(encoder, live, places_of_timm(norm=not masked), bfloat16=spelling == "timm")


def test_torchvision(torchvision, write):
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    widths = zip(CHANNELS, (*CHANNELS[1:], None), BLOCKS, strict=True)
    live = busy(ConvNeXt([CNBlockConfig(*row) for row in widths], num_classes=3))
    encoder = checked(convert(write(live.state_dict()), preprocess=PREPROCESS))
    positions = {"stem": "features.0", "pool": "avgpool", "norm": "classifier.0"}
    positions |= {
        tap: f"features.{2 * int(tap.split('.')[1]) + 1}.{tap.split('.')[2]}" for tap in OURS
    }
    assert_parity(encoder, live, positions, bfloat16=False)


@pytest.mark.parametrize("version", [1, 2])
def test_hugging_face(transformers, write, version):
    kind = "ConvNext" if version == 1 else "ConvNextV2"
    config = getattr(transformers, f"{kind}Config")(
        depths=BLOCKS, hidden_sizes=CHANNELS, num_stages=len(BLOCKS), layer_norm_eps=1e-6
    )
    live = busy(getattr(transformers, f"{kind}Model")(config))
    second = version == 2
    encoder = checked(
        convert(write(live.state_dict()), preprocess=PREPROCESS),
        layer_scale=not second,
        response_norm=second,
    )
    positions = {"stem": "embeddings", "norm": "layernorm"}
    positions |= {
        tap: f"encoder.stages.{tap.split('.')[1]}.layers.{tap.split('.')[2]}" for tap in OURS
    }
    assert_parity(encoder, live, positions, bfloat16=False)


@pytest.mark.nightly
def test_a_wrong_epsilon_would_show(timm, write):
    live = of_timm(timm, second=False, num_classes=0)
    encoder = convert(write(live.state_dict()), preprocess=PREPROCESS, verify=False).encoder
    other = replace(encoder, spec=replace(encoder.spec, layer_norm_eps=1e-2))
    with pytest.raises(AssertionError):
        assert_parity(other, live, places_of_timm(), bfloat16=False)


def test_published_sizes_are_the_authors():
    from mgm_jax.encoders import PUBLISHED

    sizes = {"atto": 3.4, "femto": 4.8, "pico": 8.6, "nano": 15.0, "tiny": 27.9, "base": 87.7}
    for size, millions in sizes.items():
        assert np.isclose(
            PUBLISHED[f"fcmae_convnextv2_{size}"].parameters / 1e6, millions, atol=0.1
        )
