"""MobileNetV2 and EfficientNet-Lite: the names of four libraries, both paddings, every tap."""

from __future__ import annotations

import pytest

from mgm_converters import convert
from mgm_jax.encoders import ARCHITECTURES, Preprocess
from tests.converters.layouts import in_one_sequence, of_efficientnet_pytorch
from tests.converters.maps import assert_parity

torch = pytest.importorskip("torch")

# Strided windows meet odd and even maps: 36, 18, 9, 5, 3.
PREPROCESS = Preprocess(size=36, resize=36, mean=(0.4,) * 3, std=(0.3,) * 3)


def places_of(spec, block):
    return {
        f"blocks.{stage}.{i}": block(stage, i)
        for stage, count in enumerate(spec.repeats)
        for i in range(count)
    }


@pytest.mark.parametrize(
    ("name", "ours", "named", "bfloat16"),
    [
        ("mobilenetv2_100", "mobilenet_v2", False, False),
        ("tf_efficientnet_lite0", "tf_efficientnet_lite0", True, False),
        # Seconds of compiling.
        pytest.param(
            *("tf_efficientnet_lite0", "tf_efficientnet_lite0", True, True),
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_timm(timm, write, randomised, name, ours, named, bfloat16):
    live = randomised(timm.create_model(name, pretrained=False))
    model = ours if named else None
    conversion = convert(write(live.state_dict()), model=model, preprocess=PREPROCESS)
    assert conversion.report.architecture == ours or named
    spec = conversion.encoder.spec
    assert spec.padding == ARCHITECTURES[ours].spec.padding
    positions = {"stem": "bn1", "head": "bn2"} | places_of(spec, lambda s, i: f"blocks.{s}.{i}")
    assert_parity(conversion.encoder, live, positions, bfloat16=bfloat16, deep=True)


def test_torchvision(torchvision, write, randomised):
    live = randomised(torchvision.models.mobilenet_v2())
    conversion = convert(write(live.state_dict()), preprocess=PREPROCESS)
    assert conversion.report.architecture == "mobilenet_v2"
    spec = conversion.encoder.spec
    numbers = iter(range(1, 18))
    positions = {"stem": "features.0"} | places_of(spec, lambda s, i: f"features.{next(numbers)}")
    assert_parity(conversion.encoder, live, positions | {"head": "features.18"}, bfloat16=False)


@pytest.mark.parametrize("head", ["features.18", "conv"])
def test_blocks_in_one_sequence(torchvision, write, randomised, head):
    """The implementation before torchvision's: a block's layers are counted, activations too."""
    live = randomised(torchvision.models.mobilenet_v2())
    state = in_one_sequence(live.state_dict(), head=head)
    conversion = convert(write(state), preprocess=PREPROCESS)
    assert conversion.report.architecture == "mobilenet_v2"
    numbers = iter(range(1, 18))
    positions = places_of(conversion.encoder.spec, lambda s, i: f"features.{next(numbers)}")
    positions |= {"stem": "features.0", "head": "features.18"}
    assert_parity(conversion.encoder, live, positions, bfloat16=False)


def test_efficientnet_pytorch(timm, write, randomised):
    """Names of EfficientNet-PyTorch come with TensorFlow's padding, epsilon and input."""
    live = randomised(timm.create_model("tf_efficientnet_lite0", pretrained=False))
    state = of_efficientnet_pytorch(live.state_dict())
    assert {"_fc.weight", "_blocks.15._bn2.bias"} <= set(state)
    own = convert(write(state), verify=False)
    assert own.report.architecture == "tf_efficientnet_lite0"
    assert "values from -1 to 1" in own.report.doubt
    assert own.encoder.preprocess == ARCHITECTURES["tf_efficientnet_lite0"].preprocess
    conversion = convert(write(state), preprocess=PREPROCESS)
    spec = conversion.encoder.spec
    assert (spec.padding, spec.batch_norm_eps) == ("tf-same", 1e-3)
    positions = {"stem": "bn1", "head": "bn2"} | places_of(spec, lambda s, i: f"blocks.{s}.{i}")
    assert_parity(conversion.encoder, live, positions, bfloat16=False)


def test_lite_is_told_from_mobilenet(timm, write):
    live = timm.create_model("efficientnet_lite0", pretrained=False)
    conversion = convert(write(live.state_dict()), preprocess=PREPROCESS, verify=False)
    assert conversion.report.architecture == "efficientnet_lite0"
