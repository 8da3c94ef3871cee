"""Reading a file: what is refused, what is kept, and that nothing in it ever runs."""

from __future__ import annotations

import argparse
import builtins
import hashlib
import os
import pickle
import sys
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
    """A type that no reader outside this file knows."""


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
def test_unknown_type_is_named(write, options):
    path = write({"model": {"w": torch.ones(2)}, "extra": Foreign()}, **options)
    with pytest.raises(InputError, match=r"names the type .*test_read\.Foreign"):
        read_checkpoint(path)


def test_whole_module_is_refused_with_its_type(write):
    with pytest.raises(InputError, match=r"torch\.nn\.modules\.linear\.Linear"):
        read_checkpoint(write(torch.nn.Linear(2, 2)))


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


@pytest.mark.parametrize(
    "content", [b"<!DOCTYPE html><html>Not Found</html>", b"\x00" * 64, b"\x89PNG\r\n\x1a\n" * 9]
)
def test_other_kinds_of_file_are_an_input_error(tmp_path, content):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as a PyTorch checkpoint"):
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
