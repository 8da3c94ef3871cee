"""The zoo: what is in it is what its files say, and a study reaches it by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import mgm_jax.zoo
from mgm_converters import convert
from mgm_jax.encoders import load_encoder
from mgm_jax.encoders.catalogue.listing import zoo_rows
from mgm_jax.encoders.catalogue.methods import METHODS
from mgm_jax.errors import InputError
from mgm_jax.study import EncoderEntry
from mgm_jax.sweep.subjects import Subject, load_subjects
from mgm_jax.zoo import ZooEncoder, zoo_encoders, zoo_files
from tests.zoo.weights import TRAINING, resnet_state, write

SHIPPED = zoo_encoders()
PARADIGMS = {method.paradigm for method in METHODS.values()} | {"untrained"}
#: Bytes of one encoder, and of all.
MAX_BYTES, MAX_BYTES_IN_ALL = 1_200_000, 14_000_000


def subjects(entry: EncoderEntry, folder: Path) -> tuple[Subject, ...]:
    def converted(file: Path, entry: EncoderEntry, cache: Path) -> Path:
        out = convert(file, cache / file.stem, verify=False).folder
        assert out is not None
        return out

    return load_subjects((entry,), base=folder, cache=folder / "cache", convert=converted)


def test_the_table_is_what_the_files_say(small_zoo: Path) -> None:
    mae, simclr, untrained = zoo_encoders()
    assert (mae.name, mae.method, mae.paradigm, mae.backbone) == ("mae-vit", "MAE", "masked", "vit")
    assert simclr.training == TRAINING and simclr.knn == {"unseen": 0.25}
    header, rows = zoo_rows(zoo_encoders())
    assert header[-2:] == ("epochs", "k-NN unseen")
    assert rows[1] == ("zoo:simclr-resnet", "SimCLR", "contrastive", "resnet", "12", "25.0 %")
    # Nobody measured the untrained one's accuracy: its cell is empty, not 0.
    assert untrained.knn == {} and rows[2][-2:] == ("0", "")


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("zoo", ["mae-vit", "simclr-resnet", "untrained-resnet"]),
        ("zoo:all", ["mae-vit", "simclr-resnet", "untrained-resnet"]),
        ("zoo:*-resnet", ["simclr-resnet", "untrained-resnet"]),
        ("zoo:mae-vit", ["mae-vit"]),
    ],
)
def test_a_source_names_files(small_zoo: Path, source: str, names: list[str]) -> None:
    assert [file.stem for file in zoo_files(source)] == names


def test_a_name_that_is_not_there(small_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"zoo:simclr-vit: .* did you mean simclr-resnet"):
        zoo_files("zoo:simclr-vit")
    monkeypatch.setattr(mgm_jax.zoo, "FOLDER", small_zoo / "empty")
    assert zoo_encoders() == ()
    with pytest.raises(InputError, match="ships no encoders"):
        zoo_files("zoo:all")


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"\x04" + bytes(7) + b"[1]x"])
def test_a_damaged_file_is_named(small_zoo: Path, content: bytes) -> None:
    (small_zoo / "swav-vit.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"swav-vit\.safetensors: cannot be read"):
        zoo_encoders()


def test_training_that_is_no_json(small_zoo: Path) -> None:
    write(small_zoo / "x-vit.safetensors", resnet_state(), {"mgm_training": "epochs 3"})
    with pytest.raises(InputError, match=r"x-vit\.safetensors: mgm_training"):
        zoo_encoders()


def test_a_study_takes_all_of_it(small_zoo: Path, tmp_path: Path) -> None:
    result = subjects(EncoderEntry(source="zoo:all"), tmp_path)
    assert [(one.name, one.family, one.paradigm) for one in result] == [
        ("mae-vit", "vit", "masked"),
        ("simclr-resnet", "resnet", "contrastive"),
        ("untrained-resnet", "resnet", "untrained"),
    ]
    named = subjects(EncoderEntry(source="zoo:*-resnet", name="mine"), tmp_path / "b")
    assert [one.name for one in named] == ["mine-simclr-resnet", "mine-untrained-resnet"]


def test_a_control_of_it_has_the_network_without_the_weights(
    small_zoo: Path, tmp_path: Path
) -> None:
    trained, *_ = subjects(EncoderEntry(source="zoo:mae-vit"), tmp_path)
    (first,) = subjects(EncoderEntry(source="zoo:mae-vit", init="random"), tmp_path / "c")
    assert first.encoder.spec == trained.encoder.spec and first.paradigm == "untrained"
    assert first.encoder.weights_sha256 != trained.encoder.weights_sha256


def test_the_converter_takes_its_names(small_zoo: Path) -> None:
    made = convert("zoo:mae-vit", verify=False)
    assert (made.encoder.name, made.report.method) == ("mae-vit", "MAE")
    with pytest.raises(InputError, match="one by one"):
        convert("zoo:all")


def test_load_encoder_says_who_converts() -> None:
    with pytest.raises(InputError, match=r"convert\('zoo:mae-vit'\)"):
        load_encoder("zoo:mae-vit")


@pytest.mark.parametrize("one", SHIPPED, ids=lambda one: one.name)
def test_a_shipped_encoder_says_how_it_was_made(one: ZooEncoder) -> None:
    assert one.file.stat().st_size <= MAX_BYTES
    assert {a.dtype for a in load_file(one.file).values()} <= {np.dtype("f2"), np.dtype("i8")}
    assert one.paradigm in PARADIGMS and one.backbone in ("resnet", "vit")
    assert {"epochs", "seed", "hardware", "commit", "knn"} <= set(one.training)
    # One of a backbone stands for its network; the weights of all are read and named alike.
    first = next(other for other in SHIPPED if other.backbone == one.backbone)
    report = convert(one.file, verify=one == first).report
    assert not report.guessed and not report.dropped and not report.left
    assert (report.method, report.paradigm) == (one.method, one.paradigm)
    assert any("short side 64" in fact for fact in report.stated)
    assert ("3 heads" in report.stated) == (one.backbone == "vit")


def test_the_shipped_encoders_are_small() -> None:
    assert sum(one.file.stat().st_size for one in SHIPPED) <= MAX_BYTES_IN_ALL
