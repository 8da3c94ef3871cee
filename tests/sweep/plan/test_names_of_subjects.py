"""Encoders of one file name are told apart by their folders; brackets in a path are letters."""

from __future__ import annotations

from pathlib import Path

import pytest

from mgm_jax.encoders import Preprocess, load_encoder, save_encoder
from mgm_jax.errors import InputError
from mgm_jax.study import EncoderEntry
from mgm_jax.sweep.subjects import load_subjects


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names") / "sweep [lr=1e-3]"
    for run in ("lr[1]", "lr2"):
        for seed in (0, 1):
            encoder = load_encoder(f"conv4:size=16:seed={seed}", name="best")
            save_encoder(encoder, folder / run / f"seed{seed}" / "best")
    return folder


def names(base: Path, *entries: EncoderEntry) -> list[str]:
    result = load_subjects(entries, base=base, cache=base / "cache", convert=None)
    return [subject.name for subject in result]


def test_folders_join_names_until_all_differ(base):
    assert names(base, EncoderEntry(source="lr2/*/best")) == ["seed0-best", "seed1-best"]
    assert names(base, EncoderEntry(source="*/*/best", name="mine")) == [
        "mine-lr2-seed0-best",
        "mine-lr2-seed1-best",
        "mine-lr[1]-seed0-best",
        "mine-lr[1]-seed1-best",
    ]
    apart = [EncoderEntry(source=f"{run}/seed0/best") for run in ("lr[1]", "lr2")]
    assert names(base, *apart) == ["lr[1]-seed0-best", "lr2-seed0-best"]


def test_a_step_with_brackets_is_itself_where_it_exists(base):
    assert names(base, EncoderEntry(source="lr[1]/*/best")) == ["seed0-best", "seed1-best"]
    assert names(base, EncoderEntry(source="lr[0-9]/seed0/best")) == ["best"]
    with pytest.raises(InputError, match="no file matches"):
        names(base, EncoderEntry(source="lr[3-9]/*/best"))


def test_one_encoder_under_two_entries_is_still_refused(base):
    twice = [EncoderEntry(source="lr2/seed0/best", name="a") for _ in range(2)]
    with pytest.raises(InputError, match=r"the name\(s\) a stand for more than one"):
        names(base, *twice)


def test_what_is_said_of_the_input_of_a_converted_encoder(base):
    entry = EncoderEntry(source="lr2/seed0/best", mean=(0.5,), std=(0.25,), method="BYOL")
    (subject,) = load_subjects((entry,), base=base, cache=base / "cache", convert=None)
    stored = load_encoder(base / "lr2" / "seed0" / "best").preprocess
    assert subject.encoder.preprocess == Preprocess(
        size=stored.size,
        resize=stored.resize,
        interpolation=stored.interpolation,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
    )
    assert subject.paradigm == "non-contrastive"
