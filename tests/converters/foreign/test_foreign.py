"""Models that stay in their library: timm, transformers, ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mgm_converters import convert
from mgm_converters.foreign import open_model
from mgm_jax.errors import InputError
from mgm_jax.study import EncoderEntry

torch = pytest.importorskip("torch")

VIEWS = np.random.default_rng(0).random((2, 64, 64, 3), dtype=np.float32)


def opened(base: Path, source: str, *, seed: int = 3, **keys: Any) -> Any:
    return open_model(EncoderEntry(source=source, **keys), base, seed)


def normalised(encoder: Any) -> Any:
    x = (VIEWS - np.float32(encoder.preprocess.mean)) / np.float32(encoder.preprocess.std)
    return torch.from_numpy(x.transpose(0, 3, 1, 2).copy())


@pytest.mark.parametrize(
    ("name", "tap"),
    [
        ("mobilenetv3_small_050", "blocks.3"),
        pytest.param("convnext_atto", "stages.1", marks=pytest.mark.nightly),
        pytest.param("swin_tiny_patch4_window7_224", "layers.2", marks=pytest.mark.nightly),
        ("vit_tiny_patch16_224", "blocks.5"),
    ],
)
def test_a_model_of_timm_gives_its_own_features(timm, tmp_path, name, tap):
    encoder = opened(tmp_path, f"torch:timm/{name}", init="random", size=64, taps=[tap])
    assert encoder.taps == (tap, "output") and encoder.meta["seed"] == 3
    torch.manual_seed(3)
    how = {} if name.startswith(("mobile", "conv")) else {"img_size": 64}
    model = timm.create_model(name, num_classes=0, **how).eval()
    seen: list[Any] = []
    model.get_submodule(tap).register_forward_hook(lambda _, __, out: seen.append(out))
    with torch.inference_mode():
        expected = model(normalised(encoder)).numpy()
    layer = seen[0]
    # timm's Swin keeps channels last, its convolutions keep them first.
    pools = {"swin": lambda a: a.mean((1, 2)), "vit_": lambda a: a[:, 0]}
    row = pools.get(name[:4], lambda a: a.mean((2, 3)))(layer).numpy()
    result = encoder.features(VIEWS, taps=encoder.taps)
    np.testing.assert_allclose(result["output"], expected, atol=1e-4)
    np.testing.assert_allclose(result[tap], row, atol=1e-4)


def test_a_model_of_transformers_in_a_folder(transformers, tmp_path):
    config = transformers.Dinov2Config(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=3, image_size=64, patch_size=16
    )
    torch.manual_seed(0)
    model = transformers.Dinov2Model(config).eval()
    model.save_pretrained(tmp_path / "mine")
    (tmp_path / "mine" / "preprocessor_config.json").write_text(
        json.dumps(
            {"size": {"shortest_edge": 72}, "crop_size": 64, "image_mean": [0.4, 0.5, 0.6]}
            | {"image_std": [0.2, 0.3, 0.4], "resample": 3}
        )
    )
    encoder = opened(tmp_path, "torch:hf/mine", taps=["encoder.layer.0"])
    assert (encoder.preprocess.resize, encoder.preprocess.mean) == (72, (0.4, 0.5, 0.6))
    with torch.inference_mode():
        expected = model(normalised(encoder), output_hidden_states=True)
    result = encoder.features(VIEWS, taps=encoder.taps)
    np.testing.assert_allclose(result["output"], expected.pooler_output, atol=1e-4)
    first = expected.hidden_states[1][:, 0]
    np.testing.assert_allclose(result["encoder.layer.0"], first, atol=1e-4)


def test_an_untrained_pooler_is_not_the_feature(transformers, tmp_path):
    config = transformers.ViTConfig(
        hidden_size=48, num_hidden_layers=1, num_attention_heads=3, image_size=64
    )
    torch.manual_seed(0)
    model = transformers.ViTModel(config).eval()
    model.save_pretrained(tmp_path / "vit")
    encoder = opened(tmp_path, "torch:hf/vit")
    assert "are assumed" in encoder.meta["conversion"]["doubt"]
    with torch.inference_mode():
        expected = model(normalised(encoder)).last_hidden_state[:, 0]
    np.testing.assert_allclose(encoder.features(VIEWS)["output"], expected, atol=1e-4)


class Itself(torch.nn.Module):
    """A network that normalises its input itself, from bytes or from numbers up to 255."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.2, 0.3, 0.4]).reshape(1, 3, 1, 1))

    def forward(self, pixels: Any) -> Any:
        x = pixels.permute(0, 3, 1, 2).float() / 255
        return self.inner((x - self.mean) / self.std)


def exported(module: Any, path: Path, sample: Any, **how: Any) -> None:
    torch.onnx.export(
        module.eval(), (sample,), str(path), input_names=["images"], dynamo=False, **how
    )


@pytest.mark.filterwarnings("ignore")
def test_an_exported_resnet_equals_the_converted_one(torchvision, randomised, tmp_path):
    pytest.importorskip("onnx", reason="graphs of ONNX")
    pytest.importorskip("onnxruntime", reason="graphs of ONNX")
    made = torchvision.models.resnet
    network = randomised(made.ResNet(made.BasicBlock, [1, 1, 1, 1], num_classes=3))
    torch.save(network.state_dict(), tmp_path / "resnet18.pth")
    said = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)}
    ours = convert(tmp_path / "resnet18.pth", size=64, verify=False, **said)
    expected = np.asarray(ours.encoder.features(VIEWS)["pool"])
    network.fc = torch.nn.Identity()
    exported(
        network,
        tmp_path / "plain.onnx",
        torch.rand(2, 3, 64, 64),
        output_names=["pooled"],
        dynamic_axes={"images": {0: "b"}},
    )
    exported(Itself(network), tmp_path / "bytes.onnx", torch.zeros(1, 64, 64, 3, dtype=torch.uint8))
    plain = opened(tmp_path, "onnx:plain.onnx", taps=["pooled"], **said)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(plain.features(VIEWS)["pooled"] / scale, expected / scale, atol=1e-4)

    # A value within the graph, a graph that takes blue first, and its untrained twin.
    within = "/layer3/layer3.0/relu_1/Relu_output_0"
    result = opened(tmp_path, "onnx:plain.onnx", taps=[within], **said).features(VIEWS)[within]
    layer3 = np.asarray(ours.encoder.features(VIEWS, taps=["layer3.0"])["layer3.0"])
    np.testing.assert_allclose(result, layer3, atol=1e-4 * np.abs(layer3).max())
    backwards = {name: values[::-1] for name, values in said.items()}
    blue = opened(tmp_path, "onnx:plain.onnx", channel_order="bgr", **backwards)
    np.testing.assert_allclose(
        blue.features(VIEWS[..., ::-1])["pooled"], plain.features(VIEWS)["pooled"], atol=1e-5
    )
    assert blue.digest != plain.digest
    twins = [
        opened(tmp_path, "onnx:plain.onnx", seed=seed, init="random", **said) for seed in (0, 0, 1)
    ]
    rows = [np.asarray(one.features(VIEWS)["pooled"]) for one in twins]
    assert (rows[0] == rows[1]).all() and not np.allclose(rows[0], rows[2])
    assert twins[0].digest == twins[1].digest and len({one.digest for one in twins}) == 2
    assert twins[0].meta["paradigm"] == "untrained" and twins[0].digest != plain.digest

    # A graph of one image at a time that takes bytes: whole pixel values go in.
    whole = np.round(VIEWS * 255).astype(np.float32) / 255
    own = opened(tmp_path, "onnx:bytes.onnx")
    assert (
        "uint8" in own.meta["conversion"]["doubt"] and "itself" in own.meta["conversion"]["doubt"]
    )
    expected = np.asarray(ours.encoder.features(whole)["pool"])
    result = own.features(whole)[own.default_tap]
    np.testing.assert_allclose(result / scale, expected / scale, atol=1e-4)

    for source, keys, message in (
        ("onnx:plain.onnx", {}, "say mean and std"),
        ("onnx:plain.onnx", {"taps": ["other"]}, "no output other; it has pooled, and"),
        ("onnx:plain.onnx", {"size": 32, **said}, "takes images of 64 pixels"),
        ("onnx:bytes.onnx", said, "applied twice"),
        ("onnx:resnet18.pth", {}, "no graph of ONNX"),
        ("onnx:none.onnx", {}, "no such file"),
    ):
        with pytest.raises(InputError, match=message):
            opened(tmp_path, source, **keys)


@pytest.mark.filterwarnings("ignore")
def test_a_graph_that_expects_pixel_values_as_floats(tmp_path):
    onnx = pytest.importorskip("onnx", reason="graphs of ONNX")
    pytest.importorskip("onnxruntime", reason="graphs of ONNX")
    from onnx import TensorProto, helper

    mean = helper.make_tensor("mean", TensorProto.FLOAT, (3, 1, 1), [100.0, 120.0, 140.0])
    graph = helper.make_graph(
        [
            helper.make_node("Sub", ["x", "mean"], ["centred"]),
            helper.make_node("GlobalAveragePool", ["centred"], ["pooled"]),
        ],
        "means",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 3, "h", "w"])],
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["b", 3, 1, 1])],
        [mean],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "means.onnx"))
    encoder = opened(tmp_path, "onnx:means.onnx", size=64)
    expected = VIEWS.mean((1, 2)) * 255 - [100, 120, 140]
    np.testing.assert_allclose(encoder.features(VIEWS)["pooled"], expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("source", "keys", "message"),
    [
        ("torch:timm/no_such_model", {}, "torch:timm/no_such_model"),
        ("torch:other/x", {}, "expected torch:timm/NAME"),
        ("torch:timm/resnet10t", {"heads": 3}, "heads are said of a checkpoint"),
    ],
)
def test_what_cannot_be_opened_is_said(timm, tmp_path, source, keys, message):
    with pytest.raises(InputError, match=message):
        opened(tmp_path, source, **keys)
