"""The published ResNet-50s, each in its own layout, by recognition alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from mgm_converters import convert
from mgm_jax.encoders import PUBLISHED, load_encoder
from mgm_jax.encoders.catalogue.published import Published
from tests.converters.layouts import LAYOUTS
from tests.converters.live import normalised

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def resnet50(torchvision: Any, randomised: Any) -> Any:
    return randomised(torchvision.models.resnet50(weights=None))


@pytest.fixture(scope="module")
def plain(resnet50: Any, tmp_path_factory: Any) -> Any:
    """The same weights, flat and converted."""
    path = tmp_path_factory.mktemp("plain") / "weights.pth"
    torch.save(resnet50.state_dict(), path)
    return convert(path, verify=False).encoder


@pytest.fixture(scope="module")
def small(torchvision: Any, randomised: Any) -> Any:
    """The same blocks, one a stage: a file is a third as large."""
    made = torchvision.models.resnet
    return randomised(made.ResNet(made.Bottleneck, [1, 1, 1, 1]))


@pytest.fixture(scope="module")
def small_plain(small: Any, tmp_path_factory: Any) -> Any:
    """The same weights, flat, converted and compared at every tap."""
    path = tmp_path_factory.mktemp("small") / "weights.pth"
    torch.save(small.state_dict(), path)
    conversion = convert(path)
    assert conversion.report.largest_error <= 1e-4
    return conversion.encoder


# Every layout as a zip, and one of each code base in the format from before.
# The names of two are those of any ResNet: that it is a ResNet-50 belongs to what tells them.
WHOLE = ("simclr_v1", "byol")
CASES = [(name, False) for name in LAYOUTS] + [(n, True) for n in ("insdis", "moco_v2", "swav")]


@pytest.mark.parametrize(("name", "legacy"), CASES)
def test_recognised(resnet50, plain, small, small_plain, write, name, legacy):
    wrap, method, paradigm = LAYOUTS[name]
    network, expected = (resnet50, plain) if name in WHOLE else (small, small_plain)
    content = wrap(network.state_dict())
    path = write(content, "weights.pth.tar", _use_new_zipfile_serialization=not legacy)
    conversion = convert(path, verify=False)
    report = conversion.report
    assert conversion.encoder.weights_sha256 == expected.weights_sha256
    assert conversion.encoder.spec == expected.spec
    assert report.method.startswith(method) and report.paradigm == paradigm
    assert report.left == () and (report.architecture == "resnet50") == (name in WHOLE)


def test_a_published_name_decides_what_the_file_does_not_say(resnet50, plain, write):
    path = write({"state_dict": resnet50.state_dict()})
    conversion = convert(path, model="simclr_v1", verify=False)
    assert conversion.report.paradigm == "contrastive"
    assert conversion.report.published == "simclr_v1"
    assert conversion.encoder.preprocess.mean == (0.0, 0.0, 0.0)
    same = convert(path, model="simclr_v1", padding="tf-same", verify=False).encoder
    assert same.spec.padding == "tf-same" and same.weights_sha256 == plain.weights_sha256


IMAGENET = (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    ("name", "method", "mean"),
    [
        # The names that converters of original weights give, and those of a collection.
        ("resnet50-1x.pth", "SimCLR-v1", (0.0, 0.0, 0.0)),
        ("simclr-v1.pth", "SimCLR-v1", (0.0, 0.0, 0.0)),
        ("pretrain_res50x1.pth.tar", "BYOL", IMAGENET),
        ("weights.pth", "Supervised or SimCLR-v1 or BYOL", IMAGENET),
        # A name that the file does not speak for counts for nothing.
        ("swav.pth", "Supervised or SimCLR-v1 or BYOL", IMAGENET),
    ],
)
def test_where_names_do_not_tell_the_method_the_file_name_may(resnet50, write, name, method, mean):
    report = (
        made := convert(write({"state_dict": resnet50.state_dict()}, name), verify=False)
    ).report
    assert report.method == method and made.encoder.preprocess.mean == mean
    assert report.published == "", "a file's name is no proof of the encoder"
    doubts = [line for line in report.lines() if line.startswith("in doubt")]
    assert bool(doubts) == (" or " in method)
    if doubts:
        assert report.paradigm == "unknown"
        for part in ("; Supervised was assumed", "--model simclr_v1", "--model byol"):
            assert part in doubts[0]


def test_weights_alone_say_nothing_and_the_report_says_so(resnet50, write):
    bare = {k: v for k, v in resnet50.state_dict().items() if not k.startswith("fc.")}
    report = convert(write(bare), verify=False).report
    assert report.method == "" and report.paradigm == "unknown"
    assert "nothing in the file tells its method" in report.doubt and "--model NAME" in report.doubt
    named = convert(write(bare, "moco-v2.pth"), verify=False).report
    assert (named.method, named.paradigm, named.doubt) == ("MoCo-v2", "contrastive", "")
    given = convert(write(bare), model="simclr-v1", verify=False).report
    assert (given.published, given.doubt) == ("simclr_v1", "")


def test_a_classifier_alone_is_no_proof(resnet50, write):
    report = convert(write(resnet50.state_dict()), verify=False).report
    assert (report.method, report.paradigm) == ("Supervised", "supervised")
    assert "only its classifier" in report.doubt and "--model simclr_v1" in report.doubt
    known = convert(write(resnet50.state_dict(), "resnet50-0676ba61.pth"), verify=False).report
    assert (known.published, known.doubt) == ("supervised", "")


def test_a_training_run_of_ones_own_is_not_taken_for_a_converted_one(torchvision, write):
    small = torchvision.models.resnet18(weights=None, num_classes=10).state_dict()
    assert convert(write({"state_dict": small}), verify=False).report.method == "Supervised"


def test_a_published_file_is_known_by_its_name(resnet50, write):
    path = write({"state_dict": resnet50.state_dict()}, "swav_800ep_pretrain.pth.tar")
    report = convert(path, verify=False).report
    assert (report.published, report.known) == ("swav", "by the name of its file")
    assert report.paradigm == "clustering"
    small = {"state_dict": {k: v for k, v in resnet50.state_dict().items() if "layer1.2" not in k}}
    other = convert(write(small, "swav_800ep_pretrain.pth.tar"), verify=False).report
    assert other.published == "", "a name alone is not enough: the weights do not fit"


def test_padding_is_of_resnets_alone(timm, write):
    from mgm_jax.errors import InputError
    from tests.converters.networks import small_vit

    path = write(small_vit(timm, num_classes=0).state_dict())
    with pytest.raises(InputError, match="only a ResNet"):
        convert(path, padding="tf-same", verify=False)


def test_classifier_is_kept_where_wanted(small, write, tmp_path):
    path = write(small.state_dict())
    conversion = convert(path, tmp_path / "encoder", head=True, size=64, verify=False)
    encoder = load_encoder(conversion.folder)
    assert encoder.default_tap == "pool" and encoder.width("logits") == 1000
    views = np.random.default_rng(0).random((1, 64, 64, 3), dtype=np.float32)
    with torch.inference_mode():
        expected = small(normalised(encoder, views)).numpy()
    got = np.asarray(encoder.features(views, taps=["logits"])["logits"])
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_registry_is_whole(name: str):
    one: Published = PUBLISHED[name]
    assert one.name == name and one.address.startswith("https://")
    assert one.paradigm in {
        "contrastive", "non-contrastive", "clustering", "masked", "language", "supervised",
    }  # fmt: skip
    assert one.licence and one.parameters > 3e6 and one.spec.width() > 0
    assert bool(one.file_name) != bool(one.obstacle)
    assert set(one.sha256) <= set("0123456789abcdef")


def test_parameters_are_those_of_the_papers():
    millions: Mapping[str, float] = {
        "moco_v2": 23.5,
        "dino_vits16": 21.7,
        "mae_vith14": 630.8,
        "dinov2_vitg14": 1136.5,
        "dinov3_vith16plus": 840.6,
        "dinov3_vit7b16": 6716.0,
        "clip_vitl14": 304.0,
    }
    for name, expected in millions.items():
        assert PUBLISHED[name].parameters / 1e6 == pytest.approx(expected, rel=0.005)
