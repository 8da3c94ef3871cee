"""Rules: each name matched once, each rule matched, nothing lost without being named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_converters.naming.rules import Copy, Drop, Naming, Part, Rename, translate
from mgm_converters.recognition.copies import choose
from mgm_converters.recognition.nearest import unknown
from mgm_converters.recognition.spelling import DividedNames, divide, encoders_in
from mgm_jax.encoders import CifarResNetSpec, ResNetSpec, ViTSpec, random_state
from mgm_jax.errors import InputError

FILE = Path("weights.pth")


def naming(*rules, signature=("a",)) -> Naming:
    return Naming(name="test", family="conv4", signature=signature, rules=rules)


def arrays(*names: str) -> dict[str, np.ndarray]:
    return {name: np.full(2, i, np.float32) for i, name in enumerate(names)}


def recognise(names, family=None) -> DividedNames:
    candidates = encoders_in(names, family=family)
    choice = choose(candidates, file=FILE, same=lambda a, b: False, facts={}, names=names)
    return divide(names, choice)


def test_rename_uses_groups_and_keeps_a_name_without_a_target():
    rules = naming(Rename(pattern=r"x\.(\d)", target=r"y.\1.z"), Rename(pattern="keep"))
    made = translate(rules, arrays("x.3", "keep"))
    assert made.mapped == {"x.3": "y.3.z", "keep": "keep"}
    assert not made.problems


def test_patterns_are_anchored():
    made = translate(naming(Rename(pattern="conv", optional=True)), arrays("conv1", "my.conv"))
    assert made.problems == ["conv1 is known to no rule", "my.conv is known to no rule"]


def test_a_rule_that_matches_nothing_is_a_problem_unless_optional():
    rules = naming(Rename(pattern="needed"), Rename(pattern="spare", optional=True))
    assert translate(rules, {}).problems == [
        "no name in the file matches needed, which the test naming has"
    ]


def test_two_rules_for_one_name_are_a_problem():
    made = translate(naming(Rename(pattern="a.*"), Drop(pattern="ab", reason="b")), arrays("ab"))
    assert "ab is claimed by several rules: a.*, ab" in made.problems


def test_two_names_for_one_weight_are_a_problem():
    made = translate(naming(Rename(pattern="[ab]", target="c")), arrays("a", "b"))
    assert made.problems == ["c is filled twice, the second time from b"]


def test_parts_are_joined_by_position_not_by_order_in_the_file():
    rules = naming(*(Part(pattern=p, target="qkv", position=i, of=3) for i, p in enumerate("qkv")))
    values = {"v": np.full((1, 2), 3.0), "q": np.full((1, 2), 1.0), "k": np.full((1, 2), 2.0)}
    made = translate(rules, values)
    assert not made.problems
    np.testing.assert_array_equal(made.state["qkv"], [[1, 1], [2, 2], [3, 3]])


def test_a_missing_part_and_unequal_parts_are_problems():
    rules = naming(
        *(Part(pattern=p, target="qk", position=i, of=2, optional=True) for i, p in enumerate("qk"))
    )
    assert translate(rules, arrays("q")).problems == ["qk is joined from 2 tensors; missing 2"]
    unequal = translate(rules, {"q": np.ones((2, 2)), "k": np.ones((2, 3))})
    assert unequal.problems == ["qk is joined from tensors of one shape; got (2, 2), (2, 3)"]


@settings(max_examples=20, deadline=None)
@given(bit=st.integers(0, 63))
def test_a_copy_must_be_equal_to_the_last_bit(bit):
    rules = naming(Rename(pattern="a"), Copy(pattern="b", original="a"))
    original = np.array([np.nan, -0.0], np.float32)
    same = translate(rules, {"a": original, "b": original.copy()})
    assert not same.problems and list(same.dropped) == ["b"] and list(same.state) == ["a"]

    changed = original.copy()
    changed.view(np.uint64)[0] ^= np.uint64(1) << np.uint64(bit)
    made = translate(rules, {"a": original, "b": changed})
    assert made.problems == ["b should repeat a bit for bit, but differs"]


def test_a_copy_without_its_original_is_a_problem():
    made = translate(naming(Copy(pattern="b", original="a")), arrays("b"))
    assert made.problems == ["b should repeat a, which is missing"]


SPELT_CANONICALLY = {
    "CIFAR ResNet": CifarResNetSpec(blocks=1, channels=2),
    "ResNet of torchvision and timm": ResNetSpec(blocks=(1, 2, 1, 1), block="bottleneck"),
    "ViT of DINO and timm": ViTSpec(
        image_size=16, patch=8, embed_dim=192, layers=2, heads=3, mlp_dim=8
    ),
}


@pytest.mark.parametrize("name", SPELT_CANONICALLY)
@pytest.mark.parametrize("prefix", ["", "module.", "module.encoder_q.", "a.b.c."])
def test_every_prefix_is_found(name, prefix):
    state = random_state(SPELT_CANONICALLY[name], seed=0)
    result = recognise([prefix + name for name in state])
    assert (result.naming.name, result.prefix) == (name, prefix)
    assert translate(result.naming, state).state.keys() == state.keys()


def test_a_prefix_ends_at_a_dot():
    """MAE's decoder_blocks.0 ends like blocks.0 and is no encoder."""
    spec = SPELT_CANONICALLY["ViT of DINO and timm"]
    state = random_state(spec, seed=0)
    names = [*state, *(f"decoder_{name}" for name in state), "mask_token"]
    result = recognise(names)
    assert result.prefix == ""
    made = translate(result.naming, dict.fromkeys(names, np.zeros(1)))
    assert made.state.keys() == state.keys() and not made.problems


def test_the_evaluated_twin_is_taken_and_the_other_named():
    state = random_state(SPELT_CANONICALLY["ResNet of torchvision and timm"], seed=0)
    names = [f"module.{twin}.{name}" for twin in ("encoder_k", "encoder_q") for name in state]
    result = recognise([*names, "module.queue", "module.other"])
    assert result.prefix == "module.encoder_q."
    assert len(result.dropped) == len(state) + 1
    assert "encoder_q" in result.dropped["module.encoder_k.conv1.weight"]
    assert result.dropped["module.queue"] == "a queue of negatives, not a weight"
    assert result.left == ("module.other",)


def test_several_encoders_are_listed_and_a_family_decides():
    resnet = random_state(SPELT_CANONICALLY["ResNet of torchvision and timm"], seed=0)
    vit = random_state(SPELT_CANONICALLY["ViT of DINO and timm"], seed=0)
    names = [*(f"image.{name}" for name in resnet), *(f"video.{name}" for name in vit)]
    with pytest.raises(InputError, match=r"several encoders: .*prefix image\..*prefix video\."):
        recognise(names)
    assert recognise(names, family="vit").prefix == "video."


def test_unknown_names_are_answered_with_the_nearest_spelling():
    message = str(unknown(["features.0.weight", "features.0.bias"], file=FILE))
    assert "features.0.weight" in message and FILE.name in message
    assert len(message.split("\n")) == 3


def test_conv4_is_told_apart_in_its_three_spellings():
    names = {
        "conv4 of ProtoTransfer": ["encoder.0.0.weight", "encoder.3.1.running_var"],
        "conv4 of C3LR": ["encoder.encoder.0.weight", "encoder.encoder.13.running_var"],
        "conv4 of A Closer Look at Few-shot Classification": [
            "feature.trunk.0.C.weight",
            "feature.trunk.3.BN.running_var",
        ],
    }
    for name, listed in names.items():
        result = recognise(listed)
        assert result.naming.name == name and result.prefix == ""
