"""Encoders to and from folders: whole, checked, never half."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from mgm_jax.encoders import (
    Conv4Spec,
    Encoder,
    PixelsSpec,
    Preprocess,
    ViTSpec,
    checkpoint,
    read_encoder,
    save_encoder,
)
from mgm_jax.errors import InputError
from tests.encoders.oracles import busy_state, encoder_of, views_of

# A thread of Orbax may outlive a read that failed; its complaint is no part of these tests.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CONV4 = Conv4Spec(image_size=16, channels=4)
VIT = ViTSpec(image_size=16, patch=8, embed_dim=8, layers=1, heads=2, mlp_dim=16)


def small(seed: int = 0) -> Encoder:
    return Encoder.from_state(
        busy_state(CONV4, seed=seed),
        name="Müller's conv4",
        spec=CONV4,
        preprocess=Preprocess(size=16, resize=20, mean=(0.1, 0.2, 0.3)),
        meta={"source": "test", "paradigm": "contrastive", "dropped": ["fc.weight"]},
    )


@pytest.mark.slow
@pytest.mark.parametrize("spec", [CONV4, VIT, PixelsSpec(image_size=4)])
def test_features_survive_bit_for_bit(tmp_path: Path, spec: Conv4Spec) -> None:
    encoder = encoder_of(spec, busy_state(spec))
    folder = save_encoder(encoder, tmp_path / "deep" / "down")
    back = read_encoder(folder)
    assert back.digest == encoder.digest
    views = views_of(spec)
    for tap, value in encoder.features(views, taps=encoder.taps).items():
        np.testing.assert_array_equal(back.features(views, taps=[tap])[tap], value)


def test_name_origin_and_preprocessing_survive(tmp_path: Path) -> None:
    encoder = small()
    back = read_encoder(save_encoder(encoder, tmp_path / "e"), dtype="bfloat16")
    assert (back.name, back.meta, back.preprocess, back.spec, back.dtype) == (
        encoder.name,
        encoder.meta,
        encoder.preprocess,
        encoder.spec,
        "bfloat16",
    )


def test_an_existing_folder_is_kept_unless_asked(tmp_path: Path) -> None:
    folder = save_encoder(small(0), tmp_path / "e")
    with pytest.raises(InputError, match="exists already"):
        save_encoder(small(1), folder)
    assert read_encoder(folder).digest == small(0).digest
    save_encoder(small(1), folder, overwrite=True)
    assert read_encoder(folder).digest == small(1).digest
    assert [path.name for path in tmp_path.iterdir()] == ["e"]


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(InputError, match="left alone"):
        save_encoder(small(), tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos" / "cat.jpg").read_bytes() == b"cat"


@pytest.mark.parametrize("before", [False, True])
def test_a_failed_write_leaves_nothing_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    folder = tmp_path / "e"
    if before:
        save_encoder(small(0), folder)

    def full_disk(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(checkpoint, "_write_weights", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_encoder(small(1), folder, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["e"] * before
    if before:
        assert read_encoder(folder).digest == small(0).digest


def test_changed_bytes_never_give_other_weights(tmp_path: Path) -> None:
    """Whichever file is damaged: it is noticed, or nothing that is read lies there."""
    folder = save_encoder(small(), tmp_path / "e")
    noticed = 0
    for file in [path for path in (folder / "weights").rglob("*") if path.is_file()]:
        content = file.read_bytes()
        file.write_bytes(bytes(255 - byte for byte in content))
        try:
            assert read_encoder(folder).digest == small().digest
        except InputError as error:
            assert "damaged" in str(error)
            noticed += 1
        file.write_bytes(content)
    assert noticed >= 2
    assert read_encoder(folder).digest == small().digest


def test_other_weights_of_the_same_shape_are_noticed(tmp_path: Path) -> None:
    folder, other = save_encoder(small(0), tmp_path / "e"), save_encoder(small(1), tmp_path / "f")
    (folder / "weights").rename(tmp_path / "aside")
    (other / "weights").rename(folder / "weights")
    with pytest.raises(InputError, match="is damaged: its weights have the SHA-256"):
        read_encoder(folder)
    with pytest.raises(InputError, match="damaged or incomplete"):
        read_encoder(other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2], "encoder.json is damaged"),
        (lambda text: text.replace('"meta"', '"mata"'), "encoder.json is damaged.*meta"),
        (lambda text: text.replace('"format": 1', '"format": 99'), "update mgm_jax"),
        (lambda text: text.replace('"channels": 4', '"channels": 5'), "damaged"),
        (lambda text: text.replace('"resize": 20', '"resize": 24'), "was edited.*preprocessing"),
    ],
    ids=["cut off", "missing key", "newer", "other spec", "other preprocessing"],
)
def test_a_damaged_description_is_refused(
    tmp_path: Path, change: Callable[[str], str], message: str
) -> None:
    folder = save_encoder(small(), tmp_path / "e")
    file = folder / "encoder.json"
    file.write_text(change(file.read_text("utf-8")), "utf-8")
    with pytest.raises(InputError, match=message):
        read_encoder(folder)


def test_any_other_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not an encoder"):
        read_encoder(tmp_path)


def test_the_description_is_plain_json(tmp_path: Path) -> None:
    folder = save_encoder(small(), tmp_path / "e")
    content = json.loads((folder / "encoder.json").read_text("utf-8"))
    assert content["weights_sha256"] == small().weights_sha256
    assert content["meta"]["dropped"] == ["fc.weight"]
    assert jax.tree.leaves(read_encoder(folder).params)
