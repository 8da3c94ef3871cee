"""What a conversion decides, what it refuses, and that a refused one writes nothing."""

from __future__ import annotations

import argparse

import numpy as np
import pytest

from mgm_converters import ConversionError, convert
from mgm_jax.encoders import ARCHITECTURES, Preprocess, load_encoder
from mgm_jax.errors import InputError
from tests.converters.networks import SequentialConv4, TrunkConv4, small_vit

torch = pytest.importorskip("torch")


@pytest.mark.slow
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


def test_weights_that_are_all_zero_are_refused(write):
    def emptied(weights):
        for tensor in weights.values():
            tensor.zero_()

    with pytest.raises(InputError, match="every weight is zero"):
        convert(write(damaged(emptied)))


def test_a_vit_without_positions_is_not_taken_for_one_that_rotates(write, timm):
    weights = timm.create_model("vit_tiny_patch16_224", depth=1, num_classes=0).state_dict()
    del weights["pos_embed"]
    with pytest.raises(InputError, match="pos_embed is missing: the file holds no positions"):
        convert(write(weights))


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
    from mgm_converters.verification import reference

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
