"""Every layer of an encoder, and the untrained control of whatever it is, in a study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mgm_jax.encoders import (
    CifarResNetSpec,
    Encoder,
    Preprocess,
    load_encoder,
    random_state,
    save_encoder,
)
from mgm_jax.errors import InputError
from mgm_jax.study import EncoderEntry, make_study
from mgm_jax.sweep import run_study
from mgm_jax.sweep.subjects import Subject, load_subjects


def subjects_of(*entries: dict, base: Path, convert=None) -> tuple[Subject, ...]:
    made = tuple(EncoderEntry.model_validate(entry) for entry in entries)
    return load_subjects(made, base=base, cache=base / "cache", convert=convert)


@pytest.fixture
def converted(tmp_path: Path) -> Encoder:
    """A folder ``mine`` of a small trained network."""
    spec = CifarResNetSpec(blocks=1)
    encoder = Encoder.from_state(
        {k: v + np.float32(0.01) for k, v in random_state(spec, seed=5).items()},
        name="mine",
        spec=spec,
        preprocess=Preprocess(size=32, resize=36),
        meta={"architecture": "resnet8", "paradigm": "contrastive"},
    )
    save_encoder(encoder, tmp_path / "mine")
    return encoder


@pytest.mark.slow
def test_all_layers_of_all_seeds_are_measured(tmp_path: Path, monkeypatch) -> None:
    passes: list[tuple[str, ...]] = []
    original = Encoder.features

    def counted(self, views, *, taps=None):
        passes.append(tuple(taps or ()))
        return original(self, views, taps=taps)

    monkeypatch.setattr(Encoder, "features", counted)
    study = make_study(
        {
            "encoders": [
                {"source": "conv4", "size": 32, "init": "random", "seeds": 2, "taps": "all"},
                {"source": "pixels", "size": 8},
            ],
            "images": [{"source": "digits", "per_class": 4}],
            "augmentation": None,
            "metrics": {"resamples": 100},
        }
    )
    result = run_study(study, tmp_path)
    assert not result.failures
    # 40 images are one batch: one pass a network gives all its layers.
    assert sorted(map(len, passes)) == [1, 5, 5]
    models = pd.read_parquet(tmp_path / "models.parquet")
    first = models[models["encoder"] == "conv4-s1"]["tap"].tolist()
    assert first == ["flatten", "block0", "block1", "block2", "block3"], "the feature first"
    summary = pd.read_parquet(tmp_path / "summary.parquet")
    depths = dict(summary[["tap", "depth"]].itertuples(index=False))
    assert depths == {"block0": 0, "block1": 0.25, "block2": 0.5, "block3": 0.75, "flatten": 1}
    assert models["seed"].dropna().tolist() == [0] * 5 + [1] * 5


def test_a_named_tap_beside_the_layers_has_no_depth(tmp_path: Path) -> None:
    [vit] = subjects_of({"source": "vit_mini", "taps": ["patch_mean", "cls"]}, base=tmp_path)
    assert vit.taps == ("patch_mean", "cls")
    depths = [vit.encoder.spec.relative_depth(tap) for tap in vit.taps]
    assert np.isnan(depths[0]) and depths[1] == 1


@pytest.mark.slow
def test_controls_of_a_folder_a_published_name_and_a_checkpoint(
    tmp_path: Path, converted: Encoder
) -> None:
    (tmp_path / "net.pth").write_bytes(b"stands for a checkpoint")
    trained, *controls = subjects_of(
        {"source": "mine"},
        {"source": "mine", "init": "random", "seeds": 2},
        {"source": "net.pth", "init": "random", "name": "file"},
        {"source": "dino_resnet50", "init": "random", "size": 32},
        base=tmp_path,
        convert=lambda file, entry, cache: tmp_path / "mine",
    )
    assert trained.encoder.digest == converted.digest and trained.seed is None
    names = ["mine-random-s0", "mine-random-s1", "file", "dino_resnet50-random"]
    assert [one.name for one in controls] == names
    assert [one.seed for one in controls] == [0, 1, 0, 0]
    assert {one.paradigm for one in controls} == {"untrained"}
    # The file is the same network, so its control of seed 0 is the folder's.
    assert controls[2].encoder.digest == controls[0].encoder.digest
    assert controls[0].encoder.digest not in (controls[1].encoder.digest, converted.digest)
    assert controls[0].encoder.preprocess == converted.preprocess
    plain = load_encoder("resnet50:seed=0:size=32")
    assert controls[3].encoder.weights_sha256 == plain.weights_sha256


def test_options_that_would_say_nothing_are_refused(tmp_path: Path, converted: Encoder) -> None:
    for entry, message in (
        ({"source": "mine", "seeds": 3}, "seeds only apply to random weights"),
        ({"source": "mine", "size": 64}, "takes 32 pixels, the preprocessing gives 64"),
        ({"source": "dino_vits16"}, "write published:dino_vits16"),
        ({"source": "pixels", "init": "random", "taps": ["pool"]}, "has no tap pool"),
        ({"source": "dino_vits15", "init": "random"}, "no known architecture or published"),
    ):
        with pytest.raises(InputError, match=message):
            subjects_of(entry, base=tmp_path)
