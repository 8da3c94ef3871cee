"""What the user says of an encoder, and what is taken where nobody says it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mgm_converters import convert
from mgm_converters.naming import NAMINGS
from mgm_converters.recognition.positions import are_fixed
from mgm_jax.encoders import Conv4Spec, Preprocess, ResNetSpec, ViTSpec, load_encoder
from mgm_jax.errors import InputError
from mgm_jax.study import EncoderEntry
from tests.encoders.oracles import busy_state

torch = pytest.importorskip("torch")

SMALL = ResNetSpec(blocks=(1, 1, 1, 1), block="basic", channels=8, stem="cifar", image_size=32)
VIT = ViTSpec(image_size=32, patch=16, embed_dim=384, layers=1, heads=6, mlp_dim=16)


def tensors(spec: Any) -> dict[str, Any]:
    return {name: torch.from_numpy(a.copy()) for name, a in busy_state(spec).items()}


def sines(side: int, width: int) -> np.ndarray:
    """The fixed positions of MoCo-v3, a patch at a time."""
    table = np.zeros((1 + side * side, width))
    for row in range(side):
        for column in range(side):
            for i in range(width // 4):
                for part, at in enumerate((column, row)):
                    angle = at / 10_000 ** (4 * i / width)
                    start = 1 + row * side + column, part * width // 2 + i
                    table[start] = np.sin(angle)
                    table[start[0], start[1] + width // 4] = np.cos(angle)
    return table[None]


def test_fixed_positions_are_told_from_learned_ones():
    fixed = sines(4, 16)
    assert are_fixed(fixed) and are_fixed(fixed[:, 1:])
    assert not are_fixed(fixed + 0.1) and not are_fixed(fixed[:, ::-1])
    assert not are_fixed(np.zeros((1, 5, 6)))


def test_heads_follow_fixed_positions_with_a_doubt_that_reaches_the_manifest(write, tmp_path):
    weights = tensors(VIT)
    learned = convert(write(weights), verify=False)
    assert learned.encoder.spec.heads == 6
    weights["pos_embed"] = torch.from_numpy(sines(2, 384)).float()
    made = convert(write({"state_dict": weights}), tmp_path / "e", verify=False)
    assert made.encoder.spec.heads == 12
    assert "12 heads were taken" in made.report.doubt and "--heads 6" in made.report.doubt
    assert "12 heads were taken" in load_encoder(tmp_path / "e").meta["doubt"]
    # What the user says ends the doubt; a decoder beside it is MAE's, which keeps the usual heads.
    said = convert(write({"state_dict": weights}), verify=False, heads=6)
    assert said.encoder.spec.heads == 6 and "heads" not in said.report.doubt
    masked = {"model": weights | {"decoder_embed.weight": torch.ones(2, 2)}}
    assert convert(write(masked), verify=False).encoder.spec.heads == 6


def test_input_and_method_are_what_is_said(write):
    file = write(tensors(SMALL))
    made = convert(file, size=40, mean=(0.5,), std=(0.25, 0.5, 1.0), method="simclr_v1")
    assert made.encoder.preprocess == Preprocess(
        size=40, resize=40, mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 1.0)
    )
    assert (made.report.method, made.report.paradigm) == ("SimCLR-v1", "contrastive")
    assert not made.report.guessed and not made.report.doubt
    assert convert(file, verify=False).report.guessed


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"method": "SimCRL"}, "there is no method 'SimCRL'; did you mean SimCLR"),
        ({"heads": 3}, "only a ViT has attention heads"),
        ({"mean": (0.5,)}, "give both"),
        ({"mean": (124.0,) * 3, "std": (58.0,) * 3}, r"on the scale \[0, 1\]"),
        ({"mean": (0.5, 0.5), "std": (0.5, 0.5)}, "expected 3 values"),
        ({"size": 0}, "at least 1 pixel"),
    ],
)
def test_what_cannot_be_said(write, said, message):
    with pytest.raises(InputError, match=message):
        convert(write(tensors(SMALL)), verify=False, **said)


def test_heads_divide_the_width(write):
    with pytest.raises(InputError, match="5 do not divide the width of the tokens, 384"):
        convert(write(tensors(VIT)), verify=False, heads=5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec",
    [SMALL, Conv4Spec(image_size=32, channels=4)],
    ids=["resnet", "conv4"],
)
def test_grey_networks_take_grey_images(write, spec):
    weights = tensors(spec)
    first = "blocks.0.conv.weight" if isinstance(spec, Conv4Spec) else "conv1.weight"
    weights[first] = weights[first][:, :1].contiguous()
    if isinstance(spec, Conv4Spec):
        names = {"conv": "0", "bn": "1"}
        weights = {
            f"encoder.{n.split('.')[1]}.{names[n.split('.')[2]]}.{n.split('.')[3]}": value
            for n, value in weights.items()
        }
    made = convert(write(weights), size=32)
    assert made.encoder.spec.image_channels == 1 and len(made.encoder.preprocess.mean) == 1
    assert made.report.largest_error < 1e-4
    grey = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 1), np.uint8)
    assert np.isfinite(made.encoder(grey)).all()


def test_networks_of_more_channels_are_refused(write):
    weights = tensors(SMALL)
    weights["conv1.weight"] = weights["conv1.weight"].repeat(1, 4, 1, 1)
    with pytest.raises(InputError, match="images of 12 channels"):
        convert(write(weights), verify=False)


def test_an_unknown_network_is_answered_in_three_lines(write):
    weights = tensors(SMALL)
    changed = {name.replace("layer4", "stage_four"): value for name, value in weights.items()}
    with pytest.raises(InputError) as caught:
        convert(write(changed))
    result, nearest, way = str(caught.value).split("\n")
    assert f"its {len(changed)} tensors" in result
    assert "Nearest is ResNet of torchvision and timm" in nearest
    assert "first that do not: stage_four.0" in nearest
    assert "expected and missing: layer4.0.conv1.weight" in nearest
    assert "pass the features" in way and "callable" in way


def as_torchvision(name: str) -> str:
    outer = {"cls_token": "class_token", "pos_embed": "encoder.pos_embedding"}
    if name in outer:
        return outer[name]
    for ours, theirs in (
        ("patch_embed.proj", "conv_proj"),
        ("blocks.", "encoder.layers.encoder_layer_"),
        ("attn.qkv.", "self_attention.in_proj_"),
        ("attn.proj", "self_attention.out_proj"),
        ("mlp.fc1", "mlp.0"),
        ("mlp.fc2", "mlp.3"),
        (".norm1", ".ln_1"),
        (".norm2", ".ln_2"),
    ):
        name = name.replace(ours, theirs)
    return name.replace("norm.", "encoder.ln.") if name.startswith("norm.") else name


def as_openmmlab(name: str) -> str:
    for ours, theirs in (
        ("patch_embed.proj", "patch_embed.projection"),
        ("blocks.", "layers."),
        ("mlp.fc1", "ffn.layers.0.0"),
        ("mlp.fc2", "ffn.layers.1"),
        (".norm", ".ln"),
    ):
        name = name.replace(ours, theirs)
    return name.replace("norm.", "ln1.") if name.startswith("norm.") else name


@pytest.mark.parametrize("spell", [as_torchvision, as_openmmlab])
def test_vits_of_other_libraries_are_equal_at_every_tap(write, spell):
    weights = tensors(VIT)
    right = convert(write(weights), verify=False).encoder
    prefix = "backbone." if spell is as_openmmlab else ""
    content = {prefix + spell(name): value for name, value in weights.items()}
    made = convert(write({"state_dict": content | {"head.weight": torch.ones(3, 384)}}))
    assert made.encoder.weights_sha256 == right.weights_sha256
    assert made.report.largest_error < 1e-4
    assert any(naming.name == made.report.naming for naming in NAMINGS)


def test_a_study_says_the_same_and_old_studies_keep_their_digest():
    entry = EncoderEntry.model_validate(
        {"source": "a.pth", "copy": "teacher", "heads": 6, "mean": [0.5], "std": [0.5]}
    )
    assert entry.conversion == {"copy": "teacher", "heads": 6, "mean": (0.5,), "std": (0.5,)}
    again = EncoderEntry.model_validate(entry.model_dump(mode="json"))
    assert again == entry
    old = EncoderEntry(source="a.pth").model_dump(mode="json")
    assert not {"copy", "copy_", "mean", "std", "method", "heads", "prefix", "key"} & old.keys()
