"""Reading a file: what is refused, what is kept, and that nothing in it ever runs."""

from __future__ import annotations

import argparse
import builtins
import hashlib
import os
import pickle
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mgm_converters.reading.read import Inert, read_checkpoint
from mgm_jax.errors import InputError

torch = pytest.importorskip("torch")

LEGACY = {"_use_new_zipfile_serialization": False}


class Touch:
    """Creates a file when unpickled by a reader that runs what it reads."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


class Evaluate:
    """Calls a builtin when unpickled by a reader that runs what it reads."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return builtins.eval, (f"open({str(self.marker)!r}, 'w')",)


class Foreign:
    """A class of the user's own."""

    def __init__(self) -> None:
        self.lr = 0.1


def function() -> None:
    """A function of the user's own."""


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["zip", "legacy"])
def test_keeps_tensors_and_plain_values(write, options):
    path = write({"model": {"w": torch.arange(3.0)}, "epoch": 7}, **options)
    read = read_checkpoint(path)
    assert read.content["epoch"] == 7
    assert torch.equal(read.content["model"]["w"], torch.arange(3.0))
    assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read.format == "pytorch"


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["zip", "legacy"])
def test_harmless_types_become_inert(write, options):
    content = {
        "setup": argparse.Namespace(dataset="cub", epochs=3),
        "loss": np.float64(0.25),
        "log": np.arange(4.0),
        "folder": Path("runs"),
    }
    read = read_checkpoint(write(content, **options)).content
    assert read["setup"].state == {"dataset": "cub", "epochs": 3}
    assert all(isinstance(value, Inert) for value in read.values())
    assert not isinstance(read["setup"], argparse.Namespace)


def test_arrays_of_numpy_in_place_of_tensors_are_read(write):
    weights = {"w": np.arange(6.0).reshape(2, 3), "n": np.array([1, 2], ">i4")}
    read = read_checkpoint(write({"state_dict": weights, "epoch": 7})).content
    assert read["epoch"] == 7
    assert {name: one.tolist() for name, one in read["state_dict"].items()} == {
        name: one.tolist() for name, one in weights.items()
    }


def test_a_flipped_bit_is_found_where_sums_were_written(write):
    """PyTorch itself reads on: a weight of another value."""
    path = write({"w": torch.zeros(10_000)})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert torch.count_nonzero(torch.load(path)["w"]) == 1
    with pytest.raises(InputError, match="data/0 in it is not what its checksum says"):
        read_checkpoint(path)


def test_files_without_sums_are_read(write):
    computed = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        path = write({"w": torch.ones(3)})
    finally:
        torch.serialization.set_crc32_options(computed)
    assert read_checkpoint(path).content["w"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["zip", "legacy"])
@pytest.mark.parametrize("trap", [Touch, Evaluate])
def test_malicious_pickle_is_refused_and_not_run(write, tmp_path, trap, options):
    marker = tmp_path / "ran"
    path = write({"model": {"w": torch.ones(2)}, "x": trap(marker)}, **options)
    # The trap is live: a reader that runs what it reads falls into it.
    torch.load(path, weights_only=False)
    assert marker.exists()
    marker.unlink()
    with pytest.raises(InputError, match=r"names the type (posix\.system|nt\.system|eval)\b"):
        read_checkpoint(path)
    assert not marker.exists()


def test_malicious_call_inside_a_harmless_type_is_refused(write, tmp_path):
    marker = tmp_path / "ran"
    path = write({"setup": argparse.Namespace(hidden=Touch(marker))})
    with pytest.raises(InputError, match="nothing in the file was executed"):
        read_checkpoint(path)
    assert not marker.exists()


def test_plain_pickle_is_not_run(tmp_path):
    marker = tmp_path / "ran"
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps({"x": Touch(marker)}))
    with pytest.raises(InputError):
        read_checkpoint(path)
    assert not marker.exists()


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["zip", "legacy"])
def test_a_function_is_refused_and_a_class_stands_inert(write, options):
    read = read_checkpoint(write({"w": torch.ones(2), "extra": Foreign()}, **options)).content
    assert isinstance(read["extra"], Inert) and read["extra"].state == {"lr": 0.1}
    path = write({"model": {"w": torch.ones(2)}, "extra": function}, **options)
    with pytest.raises(InputError, match=r"names the type .*test_read\.function"):
        read_checkpoint(path)


class Settings(dict):
    """A dictionary of the user's own."""


def test_dictionaries_of_others_are_filled_and_not_made(write):
    content = {"w": torch.ones(2), "s": Settings(lr=1), "d": defaultdict(list, {"a": [1]})}
    read = read_checkpoint(write(content)).content
    assert (dict(read["s"]), dict(read["d"])) == ({"lr": 1}, {"a": [1]})
    assert not isinstance(read["s"], Settings)


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["zip", "legacy"])
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(share=st.floats(0.0, 0.999))
def test_truncated_file_is_an_input_error(write, options, share):
    path = write({"model": {"w": torch.arange(4096.0)}}, **options)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"empty|truncated|names the type"):
        read_checkpoint(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_checkpoint(tmp_path / "none.pth")
    with pytest.raises(InputError, match="a folder"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.bin"])
def test_safetensors_is_recognised_by_content(tmp_path, name):
    safetensors = pytest.importorskip("safetensors.torch")
    path = tmp_path / name
    safetensors.save_file({"w": torch.ones(3, dtype=torch.bfloat16)}, path)
    read = read_checkpoint(path)
    assert read.format == "safetensors"
    assert read.content["w"].dtype == "bfloat16" and read.content["w"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("kept", [4, 40, -3])
def test_truncated_safetensors_is_an_input_error(tmp_path, kept):
    safetensors = pytest.importorskip("safetensors.torch")
    path = tmp_path / "weights.safetensors"
    safetensors.save_file({"w": torch.ones(3)}, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match="truncated"):
        read_checkpoint(path)


def test_without_pytorch_the_message_says_what_to_install(write, monkeypatch):
    path = write({"w": torch.ones(1)})
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"pip install 'mgm_jax\[convert\]'"):
        read_checkpoint(path)


def test_old_pytorch_is_refused(write, monkeypatch):
    path = write({"w": torch.ones(1)})
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    with pytest.raises(InputError, match=r"expected 2\.6 or later"):
        read_checkpoint(path)
