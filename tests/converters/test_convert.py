"""Whole conversions: real checkpoints, live networks of other libraries, and what must fail."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from converters import CONVERTER_VERSION, ConversionError, convert
from mgm_jax.encoders import ARCHITECTURES, Preprocess, load_encoder
from mgm_jax.errors import InputError
from tests.converters.networks import CifarResNet, FlatConv4, SequentialConv4, TrunkConv4

torch = pytest.importorskip("torch")

TOLERANCE = 1e-4
CHECKPOINTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "checkpoints"
REAL = sorted(
    path.relative_to(CHECKPOINTS).as_posix()
    for path in CHECKPOINTS.rglob("*")
    if path.suffix in (".tar", ".ckpt", ".th")
)


def views_for(encoder, batch: int = 2) -> np.ndarray:
    size = encoder.preprocess.size
    return np.random.default_rng(1).uniform(size=(batch, size, size, 3)).astype(np.float32)


def assert_equal(conversion, run, tap: str) -> None:
    """Our tap and what ``run`` makes of the same normalised images, within the tolerance."""
    encoder = conversion.encoder
    views = views_for(encoder)
    normalised = (views - np.float32(encoder.preprocess.mean)) / np.float32(encoder.preprocess.std)
    with torch.inference_mode():
        x = torch.from_numpy(np.ascontiguousarray(normalised.transpose(0, 3, 1, 2)))
        theirs = run(x).numpy()
    # All taps, as the verification asks for them: the same compilation serves both.
    ours = np.asarray(encoder.activations(views, taps=encoder.taps)[tap])
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= TOLERANCE * np.abs(theirs).max()


@pytest.mark.parametrize("name", REAL or [None])
def test_every_real_checkpoint_converts(shared_data, tmp_path, name):
    folder = tmp_path / "encoder"
    conversion = convert(shared_data / "checkpoints" / name, folder)
    report = conversion.report
    assert [check.tap for check in report.verification] == list(conversion.encoder.taps)
    assert report.largest_error is not None and report.largest_error <= TOLERANCE
    manifest = (shared_data / "checkpoints" / "MANIFEST.tsv").read_text()
    line = next(line for line in manifest.splitlines() if f"/{name}\t" in line)
    assert report.sha256 in line
    assert report.left == ()

    stored = json.loads((folder / "encoder.json").read_text())["meta"]
    assert stored["source"] == Path(name).name and stored["sha256"] == report.sha256
    assert stored["converter_version"] == CONVERTER_VERSION

    trunk = "/supervised/" in name
    expected = {"protoclr": "contrastive", "c3lr": "contrastive+clustering", "random": "untrained"}
    start = Path(name).name.split("_")[0]
    assert report.paradigm == expected.get(start, "supervised")
    plain = start in expected
    assert (conversion.encoder.preprocess.mean == (0.0, 0.0, 0.0)) == plain
    copies = [n for n, why in report.dropped.items() if "second time" in why]
    assert len(copies) == (24 if trunk else 0)


def test_a_written_encoder_reads_back_the_same(shared_data, tmp_path):
    file = shared_data / "checkpoints/conv4_miniimagenet/random_init.pth.tar"
    conversion = convert(file, tmp_path / "encoder", name="control", verify=False)
    assert conversion.report.verification == ()
    again = load_encoder(conversion.folder)
    assert again.name == "control" and again.digest == conversion.encoder.digest
    assert again.meta["paradigm"] == "untrained"


@pytest.mark.parametrize("network", [SequentialConv4, FlatConv4, TrunkConv4])
def test_three_spellings_of_conv4(write, randomised, network):
    live = randomised(network())
    conversion = convert(write({"state_dict": live.state_dict()}))
    assert_equal(conversion, live, "flatten")


def test_cifar_resnet(write, randomised):
    live = randomised(CifarResNet(blocks=3))
    content = {f"module.{key}": value for key, value in live.state_dict().items()}
    conversion = convert(write(content))
    assert conversion.report.architecture == "resnet20"
    assert_equal(conversion, live, "pool")


@pytest.mark.parametrize(
    ("library", "name"),
    [("torchvision", "resnet18"), ("torchvision", "resnet50"), ("timm", "resnet18")],
)
def test_resnets_of_torchvision_and_timm(request, write, randomised, library, name):
    made = request.getfixturevalue(library)
    if library == "torchvision":
        live = randomised(made.models.get_model(name, weights=None))
    else:
        live = randomised(made.create_model(name, pretrained=False))
    conversion = convert(write(live.state_dict()))
    assert conversion.report.architecture == name
    assert set(conversion.report.dropped.values()) == {
        "a head, not the encoder",
        "a counter of training steps, not a weight",
    }
    live.fc = torch.nn.Identity()
    assert_equal(conversion, live, "pool")


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("head", [False, True])
def test_resnets_of_hugging_face(transformers, tmp_path, randomised, block, head):
    widths = [64, 128, 256, 512] if block == "basic" else [256, 512, 1024, 2048]
    config = transformers.ResNetConfig(
        depths=[1, 2, 1, 1], hidden_sizes=widths, layer_type=block, embedding_size=64
    )
    made = transformers.ResNetForImageClassification if head else transformers.ResNetModel
    live = randomised(made(config))
    live.save_pretrained(tmp_path)
    conversion = convert(tmp_path / "model.safetensors")
    assert conversion.report.format == "safetensors"
    assert conversion.report.prefix == ("resnet." if head else "")
    body = live.resnet if head else live
    assert_equal(conversion, lambda x: body(x).pooler_output.flatten(1), "pool")


def small_vit(timm, **options):
    return timm.models.vision_transformer.VisionTransformer(
        img_size=64, patch_size=16, embed_dim=192, depth=2, num_heads=3, mlp_ratio=2, **options
    )


def dino(weights):
    return {"teacher": {f"module.backbone.{name}": value for name, value in weights.items()}}


def moco_v3(weights):
    twins = ("base_encoder", "momentum_encoder")
    content = {f"module.{twin}.{name}": v for twin in twins for name, v in weights.items()}
    return {"state_dict": content | {"module.predictor.0.weight": torch.zeros(4, 4)}}


def mae(weights):
    decoder = {"decoder_blocks.0.attn.qkv.weight": torch.zeros(24, 8)}
    return {"model": weights | decoder | {"mask_token": torch.zeros(1, 1, 8)}}


@pytest.mark.parametrize(
    ("wrap", "prefix"),
    [(dict, ""), (dino, "module.backbone."), (moco_v3, "module.base_encoder."), (mae, "")],
)
def test_vits_in_timms_naming(timm, write, randomised, wrap, prefix):
    live = randomised(small_vit(timm, num_classes=7))
    conversion = convert(write(wrap(live.state_dict())))
    assert conversion.report.prefix == prefix
    assert conversion.encoder.preprocess.interpolation == "bicubic"
    assert_equal(conversion, live.forward_features, "norm")
    assert_equal(conversion, lambda x: live.forward_features(x)[:, 0], "cls")


def test_dinov2_layer_scales(timm, write, randomised):
    live = randomised(small_vit(timm, num_classes=0, init_values=0.5))
    conversion = convert(write(live.state_dict()))
    assert_equal(conversion, live.forward_features, "norm")


@pytest.mark.parametrize("spelling", ["file", "memory"])
def test_vits_of_hugging_face(transformers, write, tmp_path, randomised, spelling):
    config = transformers.ViTConfig(
        hidden_size=192, num_hidden_layers=2, num_attention_heads=3, intermediate_size=256,
        image_size=64, patch_size=16, layer_norm_eps=1e-6,
    )  # fmt: skip
    live = randomised(transformers.ViTForImageClassification(config))
    if spelling == "file":
        live.save_pretrained(tmp_path)
        file = tmp_path / "model.safetensors"
    else:
        file = write(live.state_dict())
    conversion = convert(file)
    assert conversion.report.prefix == "vit."
    assert_equal(conversion, lambda x: live.vit(x).last_hidden_state, "norm")


def test_half_precision_weights(write, randomised):
    live = randomised(SequentialConv4()).half()
    conversion = convert(write(live.state_dict()))
    assert_equal(conversion, live.float(), "flatten")


def test_model_decides_where_names_do_not(write, timm, torchvision, randomised):
    resnet = randomised(torchvision.models.resnet18(weights=None)).state_dict()
    vit = randomised(small_vit(timm, num_classes=0)).state_dict()
    content = {f"a.{k}": v for k, v in resnet.items()} | {f"b.{k}": v for k, v in vit.items()}
    path = write(content)
    with pytest.raises(InputError, match="several encoders"):
        convert(path)
    conversion = convert(path, model="resnet18", verify=False)
    assert conversion.encoder.spec == ARCHITECTURES["resnet18"].spec
    assert "b.cls_token" in conversion.report.left


def test_given_preprocessing_and_name_are_kept(write):
    given = Preprocess(size=84, resize=84, mean=(0.1, 0.2, 0.3))
    path = write(SequentialConv4().state_dict(), "best.pth.tar")
    conversion = convert(path, preprocess=given, verify=False)
    assert conversion.encoder.preprocess == given and conversion.encoder.name == "best"
    assert "(given)" in conversion.report.assumptions[-1]
    assert convert(path, name="mine", verify=False).encoder.name == "mine"


def damaged(change):
    weights = dict(TrunkConv4().state_dict())
    change(weights)
    return weights


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda w: w.pop("feature.trunk.2.C.bias"), r"missing: blocks\.2\.conv\.bias"),
        (lambda w: w.update({"feature.trunk.1.SE.weight": torch.ones(2)}), "known to no rule"),
        (lambda w: w.update({"feature.trunk.1.C.weight": torch.ones(8, 8)}), "expected shape"),
        (lambda w: w["feature.trunk.1.BN.running_var"].fill_(float("nan")), "NaN or Inf"),
        (lambda w: w.update({"feature.trunk.0.trunk.0.bias": torch.ones(64)}), "bit for bit"),
        (
            lambda w: w.update({"feature.trunk.0.C.bias": torch.ones(64).to_sparse()}),
            "expected a dense tensor",
        ),
    ],
)  # fmt: skip
def test_problems_are_listed_and_nothing_is_written(write, tmp_path, change, problem):
    out = tmp_path / "encoder"
    with pytest.raises(ConversionError, match=problem):
        convert(write(damaged(change)), out)
    assert not out.exists()


def test_all_problems_come_at_once(write):
    def several(weights):
        weights.pop("feature.trunk.2.C.bias")
        weights["feature.trunk.1.SE.weight"] = torch.ones(2)
        weights["feature.trunk.0.trunk.0.bias"] = torch.ones(64)

    with pytest.raises(ConversionError) as caught:
        convert(write(damaged(several)))
    listed = str(caught.value)
    for name in ("blocks.2.conv.bias", "feature.trunk.1.SE.weight", "feature.trunk.0.trunk.0.bias"):
        assert name in listed
    assert len(caught.value.problems) >= 3


def test_wrong_architecture(write, torchvision, tmp_path):
    path = write(torchvision.models.resnet18(weights=None).state_dict())
    with pytest.raises(ConversionError, match=r"layer1\.0\.conv3\.weight"):
        convert(path, tmp_path / "encoder", model="resnet50")
    with pytest.raises(InputError, match="no known spelling of a vit encoder"):
        convert(path, tmp_path / "encoder", model="vit_b16")
    with pytest.raises(InputError, match="did you mean resnet18"):
        convert(path, tmp_path / "encoder", model="resnet-18")
    with pytest.raises(InputError, match="pixels has no weights"):
        convert(path, tmp_path / "encoder", model="pixels")
    assert not (tmp_path / "encoder").exists()


def test_a_failed_verification_writes_nothing(write, tmp_path, monkeypatch):
    from converters import reference

    honest = reference.reference_activations

    def shifted(*arguments):
        taps = honest(*arguments)
        return taps | {"block2": taps["block2"] + np.abs(taps["block2"]).max() / 100}

    monkeypatch.setattr(reference, "reference_activations", shifted)
    with pytest.raises(ConversionError, match=r"tap block2: .* relative error of 9\.\de-03"):
        convert(write(SequentialConv4().state_dict()), tmp_path / "encoder")
    assert not (tmp_path / "encoder").exists()


def test_an_existing_folder_is_kept_unless_overwritten(write, tmp_path):
    path, out = write(SequentialConv4().state_dict()), tmp_path / "encoder"
    convert(path, out, verify=False)
    with pytest.raises(InputError, match="exists"):
        convert(path, out, verify=False)
    convert(path, out, name="second", verify=False, overwrite=True)
    assert load_encoder(out).name == "second"


@pytest.mark.parametrize("content", [{"x": argparse.ArgumentParser}, b"cut short"])
def test_unreadable_files_write_nothing(write, tmp_path, content):
    path = write({})
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(InputError):
        convert(path, tmp_path / "encoder")
    assert not (tmp_path / "encoder").exists()
