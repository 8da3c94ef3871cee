"""Files that are no checkpoint, in pieces, or made to fill the memory: named, with the way on."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mgm_converters import convert
from mgm_converters.reading.files.kinds import other_kind
from mgm_converters.reading.files.source import find_source
from mgm_converters.reading.limits import Limits
from mgm_converters.reading.read import read_checkpoint
from mgm_jax.errors import InputError

torch = pytest.importorskip("torch")

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'1' * 64}\nsize 5\n".encode()


def _zip(**files: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return made.getvalue()


def _npz() -> bytes:
    made = io.BytesIO()
    np.savez(made, a=np.ones(2))
    return made.getvalue()


OTHERS = {
    "pointer": (POINTER, "a pointer of Git LFS.*git lfs pull"),
    "page": (b"\n<!DOCTYPE html><html>Sign in</html>", "a web page"),
    "error": (b'<?xml version="1.0"?><Error>AccessDenied</Error>', "an XML text.*fetch it anew"),
    "json": (json.dumps({"error": "gated", "url": ""}).encode(), "a JSON file with error, url"),
    "gzip": (gzip.compress(b"weights"), "a gzip archive; unpack"),
    "zip": (_zip(run__best_pth=b"x", notes=b"y"), "a zip archive of 2 files .*unpack"),
    "npz": (_npz(), "a NumPy archive of 1 arrays"),
    "text": (b"lr: 0.1\nepochs: 3\n", "a text that begins 'lr: 0.1'"),
    "png": (b"\x89PNG\r\n\x1a\n" * 9, "a PNG picture"),
    "zeros": (b"\x00" * 64, "nothing but blanks or zeros"),
}


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("name", OTHERS)
def test_another_kind_of_file_is_named(tmp_path, name, ending):
    content, message = OTHERS[name]
    file = tmp_path / f"weights.{ending}"
    file.write_bytes(content)
    with pytest.raises(InputError, match=f"cannot be read as a checkpoint: it .*{message}"):
        read_checkpoint(file)


def test_checkpoints_are_no_other_kind(write, tmp_path):
    pytest.importorskip("safetensors.torch").save_file({"a": torch.ones(8)}, tmp_path / "a.st")
    files = [
        write({"a": torch.ones(2)}),
        write({"a": torch.ones(2)}, name="old", _use_new_zipfile_serialization=False),
        tmp_path / "a.st",
    ]
    assert [other_kind(file) for file in files] == ["", "", ""]


def test_no_message_advises_to_load_unsafely(write, tmp_path):
    whole = write({"a": torch.arange(99.0)}).read_bytes()
    file = tmp_path / "part.pth"
    for content in (whole[:-200], whole[:300], b"\x80\x02" + b"x" * 90, b"PK\x03\x04" + b"x" * 90):
        file.write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_checkpoint(file)
        assert "weights_only" not in str(caught.value) and "trust" not in str(caught.value)


def _packed(path: Path, content: Any) -> None:
    """As torch.save writes it, but with its pickle packed."""
    whole = io.BytesIO()
    torch.save(content, whole)
    with (
        zipfile.ZipFile(whole) as plain,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))


@pytest.mark.slow
def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path):
    file = tmp_path / "bomb.pth"
    _packed(file, {"note": "x" * (65 << 20), "w": torch.ones(2)})
    assert file.stat().st_size < 1 << 20
    with pytest.raises(InputError, match=r"would unfold to more.*times as much.*--limits 10"):
        read_checkpoint(file)
    # The same file is read where the user allows it.
    assert set(read_checkpoint(file, limits=Limits().times(1000)).content) == {"note", "w"}


@pytest.mark.parametrize("kind", ["set", "frozenset", "dict", "reduce"])
@pytest.mark.parametrize("alone", [False, True])
def test_a_key_that_takes_for_ever_to_hash_is_refused(tmp_path, kind, alone):
    # Written by hand: Python itself cannot build it. A tuple in a tuple, fifty deep.
    deep = b")" + b"q\x01" + b"".join(b"0h\x01h\x01\x86q\x01" for _ in range(50))
    body = {
        "set": b"\x8f(" + deep + b"\x90",
        "frozenset": b"(" + deep + b"\x91",
        "dict": b"}" + deep + b"K\x01s",
        "reduce": b"cbuiltins\nset\n](" + deep + b"e\x85R",
    }[kind]
    pickled = b"\x80\x04" + body + b"."
    file = tmp_path / "weights.pth"
    if alone:
        file.write_bytes(pickled)
    else:
        file.write_bytes(_zip(a__data_pkl=pickled).replace(b"data_pkl", b"data.pkl"))
    with pytest.raises(InputError, match="time without end to hash"):
        read_checkpoint(file)


def test_keys_of_numbers_and_short_tuples_are_fine(write):
    content = {"w": torch.ones(2), 3: "x", ("a", 1, (2, 3)): "y", "s": {1, "two"}}
    assert len(read_checkpoint(write(content)).content) == 4


def test_limits_are_raised_by_a_factor_of_at_least_one():
    assert Limits().times(2).entries == 2_000_000
    with pytest.raises(InputError, match="at least 1"):
        Limits().times(0.5)


def _shards(folder: Path, ending: str, content: Any) -> None:
    save = pytest.importorskip("safetensors.torch").save_file
    save = save if ending == "safetensors" else torch.save
    stem = "model" if ending == "safetensors" else "pytorch_model"
    table = {}
    for i, (name, value) in enumerate(content.items()):
        file = f"{stem}-{i + 1:05}-of-{len(content):05}.{ending}"
        save({name: value}, folder / file)
        table[name] = file
    index = folder / f"{stem}.{ending}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": table}))


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_parts_are_joined_by_their_index(tmp_path, ending):
    _shards(tmp_path, ending, {"a": torch.ones(2), "b": torch.zeros(3)})
    read = read_checkpoint(find_source(tmp_path).file)
    assert set(read.content) == {"a", "b"}
    one = next(tmp_path.glob(f"*-00001-of-00002.{ending}"))
    with pytest.raises(InputError, match=r"one part of several; name their folder or their index"):
        read_checkpoint(one)
    before = read.sha256
    one.unlink()
    with pytest.raises(InputError, match="1 of 2 parts are missing"):
        read_checkpoint(find_source(tmp_path).file)
    _shards(tmp_path, ending, {"a": torch.ones(2) * 2, "b": torch.zeros(3)})
    assert read_checkpoint(find_source(tmp_path).file).sha256 != before


def test_a_whole_file_beside_parts_is_not_preferred_in_silence(tmp_path):
    _shards(tmp_path, "safetensors", {"a": torch.ones(2)})
    pytest.importorskip("safetensors.torch").save_file(
        {"a": torch.zeros(2)}, tmp_path / "model.safetensors"
    )
    with pytest.raises(InputError, match=r"name the one that is meant"):
        find_source(tmp_path)


@pytest.mark.parametrize("file", ["../../x.safetensors", 3])
def test_an_index_leads_nowhere_else(tmp_path, file):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": file}}))
    with pytest.raises(InputError, match="not the name of a file beside the index"):
        read_checkpoint(index)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["zero_pp_rank_0_mp_rank_00_optim_states.pt"], "zero_to_fp32"),
        (["global_step7/zero_pp_rank_1_mp_rank_00_model_states.pt"], "zero_to_fp32"),
        ([".metadata", "__0_0.distcp"], "dcp_to_torch"),
        (["a.pth", "b.pth"], "2 files that may be weights: a.pth, b.pth; name one"),
        (["notes.md"], "no weights here"),
    ],
)
def test_folders_in_pieces_are_named(tmp_path, names, message):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=message):
        find_source(tmp_path)


def test_the_one_file_of_a_folder_is_taken(tmp_path):
    (tmp_path / "best.ckpt").write_bytes(b"x")
    (tmp_path / "args.json").write_text("{}")
    assert find_source(tmp_path).file.name == "best.ckpt"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"_fsdp_wrapped_module._flat_param": torch.ones(9)}}, "flat shares of FSDP"),
        ({"model": {"encoder.flat_param": torch.ones(9)}}, "StateDictOptions"),
    ],
)
def test_flat_shares_are_named(write, content, message):
    with pytest.raises(InputError, match=message):
        convert(write(content))


def test_empty_tensors_of_zero_3_are_named(write):
    names = ("conv1.weight", "layer1.0.conv1.weight", "layer4.0.conv1.weight")
    content = {"module": {name: torch.empty(0) for name in names}, "ds_version": "0.14"}
    with pytest.raises(InputError, match=r"ZeRO 3.*zero_to_fp32"):
        convert(write(content))


def test_a_pickle_of_other_arrays_is_walked_through_once(tmp_path):
    file = tmp_path / "weights.pkl"
    file.write_bytes(pickle.dumps({"a": np.ones(3, np.float32)}))
    assert read_checkpoint(file).content["a"].tolist() == [1, 1, 1]
