"""Files in the layouts of libraries: recognised alone, the copy taken, equal at every tap."""

from __future__ import annotations

import sys
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mgm_converters import convert
from mgm_converters.recognition.copies import COPIES
from mgm_converters.recognition.evidence.training import TRAINING_WORDS
from mgm_jax.encoders import ResNetSpec, ViTSpec
from mgm_jax.encoders.catalogue.methods import METHODS
from mgm_jax.errors import InputError
from tests.converters.libraries import LIBRARIES, behind, lightning
from tests.encoders.oracles import busy_state

torch = pytest.importorskip("torch")

SMALL = ResNetSpec(blocks=(1, 1, 1, 1), block="basic", channels=8, stem="cifar", image_size=32)


@pytest.fixture(scope="module")
def networks() -> dict[str, dict[str, Any]]:
    return {
        part: {name: torch.from_numpy(a.copy()) for name, a in busy_state(SMALL, seed=i).items()}
        for i, part in enumerate(("net", "slow"))
    }


@pytest.fixture(scope="module")
def digests(networks: Any, tmp_path_factory: Any) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("plain")
    made = {}
    for part, weights in networks.items():
        torch.save(weights, folder / f"{part}.pth")
        made[part] = convert(folder / f"{part}.pth", verify=False).encoder.weights_sha256
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", LIBRARIES)
def test_every_library(write, networks, digests, name):
    library = LIBRARIES[name]
    conversion = convert(write(library.build(networks["net"], networks["slow"])))
    report = conversion.report
    assert conversion.encoder.weights_sha256 == digests[library.evaluated]
    assert [check.tap for check in report.verification] == list(conversion.encoder.taps)
    assert report.largest_error < 1e-4
    if library.method:
        assert library.method in report.method
    assert library.paradigm in (report.paradigm, "unknown")


TOKENS = ViTSpec(image_size=32, patch=8, embed_dim=192, layers=2, heads=3, mlp_dim=384)


def lightly_vit(net: Any, slow: Any, *, decoder: bool = False, heads: str = "") -> Any:
    """lightly's ViTs: timm's network below ``vit``, the mask token beside it."""
    state = {}
    for name, weights in (("teacher_backbone", slow), ("student_backbone", net)):
        if not decoder:
            state |= behind(f"{name}.vit", weights) | {f"{name}.mask_token": torch.ones(1, 1, 192)}
            state |= {f"{name.split('_')[0]}_{heads}.layers.0.weight": torch.ones(2, 192)}
    if decoder:
        state = behind("backbone.vit", slow) | {"backbone.mask_token": torch.ones(1, 1, 192)}
        state |= {"decoder.mask_token": torch.ones(1, 1, 64), "decoder_embed.weight": torch.ones(2)}
        state |= {"decoder.decoder_pos_embed": torch.ones(1, 17, 64)}
    return {"state_dict": state, "hyper_parameters": {"batch_size_per_device": 8}}


def solo_mae(net: Any, slow: Any) -> Any:
    decoder = {
        "decoder.mask_token": torch.ones(1, 1, 64),
        "decoder.decoder_norm.weight": torch.ones(64),
    }
    decoder |= {"decoder.decoder_pos_embed": torch.ones(1, 17, 64)}
    state = behind("backbone", slow) | decoder | {"classifier.weight": torch.ones(3, 192)}
    return {"state_dict": state, "hyper_parameters": {"method": "mae"}}


@pytest.mark.parametrize(
    "build",
    [
        lightly_vit,
        partial(lightly_vit, heads="head.dino_head"),
        partial(lightly_vit, decoder=True),
        solo_mae,
    ],
    ids=["lightly dino", "lightly dinov2", "lightly mae", "solo-learn mae"],
)
def test_vision_transformers_of_libraries(write, build):
    net, slow = (
        {name: torch.from_numpy(a.copy()) for name, a in busy_state(TOKENS, seed=i).items()}
        for i in range(2)
    )
    conversion = convert(write(build(net, slow)))
    plain = convert(write(slow, name="plain.pth"), verify=False)
    assert conversion.encoder.weights_sha256 == plain.encoder.weights_sha256
    assert conversion.report.largest_error < 1e-4


def test_settings_of_omegaconf_are_read_and_none_of_it_is_run(write, networks, digests):
    omegaconf = pytest.importorskip("omegaconf", reason="settings of OmegaConf")
    content = LIBRARIES["solo-learn byol"].build(networks["net"], networks["slow"])
    settings = {"method": "byol", "optimizer": {"lr": 0.1, "betas": [0.9, 0.99]}, "x": "${name}"}
    content["hyper_parameters"] = omegaconf.OmegaConf.create(settings | {"name": "one"})
    conversion = convert(write(content), verify=False)
    assert conversion.encoder.weights_sha256 == digests["net"]
    assert conversion.report.method == "BYOL"


def test_a_history_of_mmengine_stands_inert(write, networks, digests, monkeypatch):
    module = ModuleType("mmengine.logging.history_buffer")
    history = type("HistoryBuffer", (), {"__module__": module.__name__})
    module.HistoryBuffer = history
    monkeypatch.setitem(sys.modules, "mmengine", ModuleType("mmengine"))
    monkeypatch.setitem(sys.modules, "mmengine.logging", ModuleType("mmengine.logging"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    one = history()
    one.values = np.arange(3.0)
    content = LIBRARIES["MMPretrain"].build(networks["net"], networks["slow"])
    content["message_hub"]["log_scalars"] = {"train/loss": one}
    file = write(content)
    monkeypatch.undo()
    assert convert(file, verify=False).encoder.weights_sha256 == digests["net"]


def test_the_report_says_which_copy_was_taken_and_which_left(write, networks):
    file = write(LIBRARIES["solo-learn byol"].build(networks["net"], networks["slow"]))
    report = convert(file, verify=False).report
    assert report.taken == "[state_dict] backbone.*"
    assert list(report.copies) == ["state_dict.momentum_backbone"]
    said = "\n".join(report.lines())
    assert "backbone.* was taken" in said and "left state_dict.momentum_backbone" in said


@pytest.mark.parametrize(
    "asked",
    [
        {"copy": "momentum"},
        {"copy": "momentum_backbone"},
        {"copy": "ema"},
        {"prefix": "momentum_backbone"},
    ],
)
def test_another_copy_can_be_chosen(write, networks, digests, asked):
    file = write(LIBRARIES["solo-learn byol"].build(networks["net"], networks["slow"]))
    assert convert(file, verify=False, **asked).encoder.weights_sha256 == digests["slow"]


def test_another_key_can_be_chosen(write, networks, digests):
    file = write(LIBRARIES["torchvision references"].build(networks["net"], networks["slow"]))
    assert convert(file, verify=False, key="model").encoder.weights_sha256 == digests["net"]
    assert convert(file, verify=False, copy="raw").encoder.weights_sha256 == digests["net"]
    with pytest.raises(InputError, match=r"no encoder fits --key 'network'; it holds \[model\]"):
        convert(file, key="network")


def test_copies_of_no_known_method_leave_a_doubt(write, networks):
    file = write(lightning(feature="net", target_other="slow").__call__(*networks.values()))
    assert "no known method says which" in convert(file, verify=False).report.doubt


def test_two_networks_of_no_relation_are_refused_with_the_way_to_choose(write, networks):
    content = behind("image", networks["net"]) | behind("depth", networks["slow"])
    with pytest.raises(InputError, match=r"several encoders.*--prefix image or --prefix depth"):
        convert(write(content))


def test_two_networks_of_one_prefix_are_chosen_by_their_keys(write, networks):
    content = {
        "state_dict": {f"model.{k}": v for k, v in networks["net"].items()},
        "callbacks": {"EMA": {"averages": {f"model.{k}": v for k, v in networks["slow"].items()}}},
    }
    with pytest.raises(InputError, match=r"--key state_dict or --key callbacks\.EMA\.averages"):
        convert(write(content), verify=False)


def test_a_network_stored_twice_is_one(write, networks, digests):
    content = behind("a", networks["net"]) | behind("b.c", networks["net"])
    conversion = convert(write(content), verify=False)
    assert conversion.encoder.weights_sha256 == digests["net"]
    assert list(conversion.report.copies.values()) == ["stored a second time beside a.*"]


@pytest.mark.parametrize(
    "step", ["_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module", "module"]
)
def test_wrappers_are_taken_out_wherever_they_stand(write, networks, digests, step):
    inner = {
        name.replace("layer2.", f"layer2.{step}.").replace("0.conv1", f"0.{step}.conv1"): value
        for name, value in networks["net"].items()
    }
    conversion = convert(write(behind(f"_forward_module.model.{step}", inner)), verify=False)
    assert conversion.encoder.weights_sha256 == digests["net"]
    # The report speaks of the names that stand in the file.
    assert f"_forward_module.model.{step}.layer2.{step}.0.{step}.conv1.weight" in (
        conversion.report.mapped
    )


def test_a_module_that_was_stored_whole_is_the_table_of_its_weights(write, networks, digests):
    def module(weights: dict[str, Any]) -> Any:
        made = torch.nn.Module()
        for name, value in weights.items():
            steps, at = name.split("."), made
            for step in steps[:-1]:
                if step not in at._modules:
                    at.add_module(step, torch.nn.Module())
                at = at._modules[step]
            at.register_buffer(steps[-1], value)
        return made

    file = write({"net": torch.nn.DataParallel(module(networks["net"])), "epoch": 1})
    assert convert(file, verify=False).encoder.weights_sha256 == digests["net"]


def test_every_rule_of_copies_names_methods_and_every_word_a_kind():
    assert all(rule.of and all(rule.shown) for rule in COPIES)
    kinds = {method.paradigm for method in METHODS.values()} | {"pretext", ""}
    assert {kind for _, kind in TRAINING_WORDS.values()} <= kinds
