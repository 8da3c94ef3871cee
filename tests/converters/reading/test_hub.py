"""Names on a hub, from a local cache and without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mgm_converters import convert
from mgm_converters.reading.files.source import find_source
from mgm_converters.recognition.evidence.settings import read_settings
from mgm_jax.conversion import convert_entry
from mgm_jax.errors import InputError
from mgm_jax.study import EncoderEntry
from mgm_jax.sweep.subjects import load_subjects
from tests.converters.live import HF
from tests.converters.networks import small_vit

torch = pytest.importorskip("torch")
hub = pytest.importorskip("huggingface_hub")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of a library that may not use the network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def cached(cache: Path, repository: str) -> Path:
    """The folder of a repository as the library lays it out."""
    position = cache / f"models--{repository.replace('/', '--')}"
    snapshot = position / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (position / "refs").mkdir()
    (position / "refs" / "main").write_text("0" * 40)
    return snapshot


def test_a_repository_of_hugging_face(cache, transformers: Any, randomised):
    config = transformers.Dinov2Config(**(HF | {"mlp_ratio": 2}))
    live = randomised(transformers.Dinov2Model(config))
    live.save_pretrained(cached(cache, "facebook/dinov2-small"))
    conversion = convert("hf:facebook/dinov2-small", verify=False)
    assert conversion.encoder.name == "dinov2-small"
    assert (conversion.report.method, conversion.report.format) == ("DINOv2", "safetensors")
    assert conversion.encoder.spec.heads == HF["num_attention_heads"]


def test_a_repository_of_timm(cache, timm: Any, randomised):
    safetensors = pytest.importorskip("safetensors.torch")
    folder = cached(cache, "timm/vit_small_patch16_224.dino")
    live = randomised(small_vit(timm, num_classes=0))
    safetensors.save_file(live.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(
        '{"architecture": "vit_small_patch16_224", "pretrained_cfg": {"tag": "dino", "input_size":'
        ' [3, 64, 64], "crop_pct": 0.9, "interpolation": "bicubic", "mean": [0.485, 0.456, 0.406],'
        ' "std": [0.229, 0.224, 0.225]}}'
    )
    conversion = convert("timm:vit_small_patch16_224.dino", verify=False)
    assert conversion.report.method == "DINO"
    assert conversion.encoder.spec.position_resize == "offset"
    assert (conversion.encoder.preprocess.size, conversion.encoder.preprocess.resize) == (64, 71)


@pytest.mark.slow
def test_a_study_names_weights_on_the_hub(
    cache: Path, tmp_path: Path, transformers: Any, randomised: Any
) -> None:
    config = transformers.Dinov2Config(**(HF | {"mlp_ratio": 2}))
    live = randomised(transformers.Dinov2Model(config))
    live.save_pretrained(cached(cache, "facebook/dinov2-small"))
    lost = []
    entries = (
        EncoderEntry(source="hf:facebook/dinov2-small"),
        EncoderEntry(source="hf:facebook/dinov2-small", init="random"),
        EncoderEntry(source="hf:facebook/dinov2-base"),
    )
    subjects = load_subjects(
        entries,
        base=tmp_path,
        cache=tmp_path / "encoders",
        convert=convert_entry,
        on_failure=lambda name, error: lost.append((name, str(error))),
    )
    assert [one.name for one in subjects] == ["dinov2-small", "dinov2-small-random"]
    assert subjects[0].encoder.spec == subjects[1].encoder.spec
    assert subjects[0].paradigm == "non-contrastive (guessed)", (
        "the name of a repository states nothing"
    )
    assert lost[0][0] == "dinov2-base" and "HF_HOME" in lost[0][1]


def test_what_the_cache_lacks_is_an_error_that_names_it(cache):
    with pytest.raises(InputError, match=r"hf:facebook/dinov2-base: found no weights .*HF_HOME"):
        convert("hf:facebook/dinov2-base")
    for name in ("hf:dinov2", "hf:/dinov2", "timm:a/b"):
        with pytest.raises(InputError, match="expected hf:owner/name or timm:name"):
            find_source(name)


@pytest.mark.parametrize("text", ["{", "[1]", '{"use_gated_mlp": true, "hidden_act": "gelu"}'])
def test_broken_settings_are_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json"):
        read_settings(tmp_path)


def test_a_folder_without_weights(tmp_path):
    with pytest.raises(InputError, match=r"no weights here; expected one of model\.safetensors"):
        find_source(tmp_path)
