"""Files that were changed at random: refused with an error of ours, or read; nothing else."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mgm_converters import convert
from mgm_converters.reading.pickles.restricted import NUMPY_TYPES, RefusedType, RestrictedUnpickler
from mgm_converters.reading.read import read_checkpoint
from mgm_jax.encoders import ResNetSpec
from mgm_jax.errors import InputError
from tests.converters.haiku import write_byol
from tests.converters.naming.test_vit_spellings import Tree
from tests.encoders.oracles import busy_state

torch = pytest.importorskip("torch")

SMALL = ResNetSpec(blocks=(1, 1, 1, 1), block="bottleneck", channels=2)
FUZZ = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def _torch(path: Path, **options: Any) -> None:
    torch.save({"state_dict": {"a": torch.arange(64.0), "b": torch.ones(2, 3)}}, path, **options)


def _safetensors(path: Path) -> None:
    pytest.importorskip("safetensors.torch").save_file({"a": torch.ones(3, 4)}, path)


WRITERS = {
    "zip": _torch,
    "legacy": lambda path: _torch(path, _use_new_zipfile_serialization=False),
    "safetensors": _safetensors,
    "torchscript": lambda path: torch.jit.save(
        torch.jit.script(Tree({"a.b": torch.ones(3, 4), "c": torch.ones(2)})), path
    ),
    "pickle": lambda path: write_byol(path, busy_state(SMALL)),
}


@pytest.fixture(scope="module", params=WRITERS)
def whole(request: Any, tmp_path_factory: Any) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "weights"
    WRITERS[request.param](path)
    read_checkpoint(path)
    return path.read_bytes()


def read_or_refuse(folder: Path, content: bytes) -> None:
    path = folder / "weights"
    path.write_bytes(content)
    try:
        read_checkpoint(path)
    except InputError as error:
        assert str(path) in str(error)


@FUZZ
@given(data=st.data())
def test_changed_bytes(tmp_path, whole, data):
    content = bytearray(whole)
    # The structure stands at the two ends; between them there are mostly numbers.
    ends = st.one_of(
        st.integers(0, min(600, len(content) - 1)),
        st.integers(max(0, len(content) - 600), len(content) - 1),
        st.integers(0, len(content) - 1),
    )
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(ends)] = data.draw(st.integers(0, 255))
    read_or_refuse(tmp_path, bytes(content))


@FUZZ
@given(data=st.data())
def test_cut_and_spliced(tmp_path, whole, data):
    first, second = sorted(data.draw(st.integers(0, len(whole))) for _ in range(2))
    choice = data.draw(st.sampled_from(["front", "back", "gap", "double"]))
    content = {
        "front": whole[:first],
        "back": whole[first:],
        "gap": whole[:first] + whole[second:],
        "double": whole[:second] + whole[first:],
    }[choice]
    read_or_refuse(tmp_path, content)


@FUZZ
@given(
    content=st.binary(max_size=200),
    start=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"\x80\x04"]),
)
def test_noise(tmp_path, content, start):
    read_or_refuse(tmp_path, start + content)


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=80))
def test_noise_in_the_restricted_reader(content):
    """Whatever a pickle says, the reader ends in a value or an exception; it never imports."""
    import io

    reader = RestrictedUnpickler(io.BytesIO(b"\x80\x02" + content + b"."), types=NUMPY_TYPES)
    # Damaged streams fail in many ways, and all of them are exceptions.
    try:
        reader.load()
    except (Exception, RecursionError):
        return


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"c__builtin__\neval\n(S'1'\ntR.",
        b"cbuiltins\ngetattr\n(S'a'\nS'b'\ntR.",
        b"\x80\x02\x82\x01.",
        b"(S'true'\nios\nsystem\n.",
        b"cnumpy\nload\n(S'x'\ntR.",
    ],
    ids=["global", "eval", "getattr", "extension", "inst", "numpy function"],
)
def test_named_functions_are_refused(program):
    import io

    with pytest.raises((RefusedType, pickle.UnpicklingError)):
        RestrictedUnpickler(io.BytesIO(program), types=NUMPY_TYPES).load()


def test_a_reading_leaves_nothing_behind_on_the_stand_ins():
    import io

    # Sets an attribute of the type itself, not of a value.
    program = b"cnumpy\ndtype\n}S'code'\nS'x'\nsb."
    with pytest.raises(Exception):  # noqa: B017  the way it fails is not the point
        RestrictedUnpickler(io.BytesIO(program), types=NUMPY_TYPES).load()
    assert not hasattr(NUMPY_TYPES["numpy.dtype"], "code")


def test_a_packed_torchscript_archive_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    WRITERS["torchscript"](path)
    packed = tmp_path / "packed.pt"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(InputError, match="compressed"):
        read_checkpoint(packed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_shuffled_shapes_write_nothing(tmp_path, write, torchvision, seed):
    weights = dict(torchvision.models.resnet18(weights=None).state_dict())
    names = [name for name, value in weights.items() if value.ndim >= 2]
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randperm(len(names), generator=generator)[:2].tolist()
    one, other = names[first], names[second]
    if weights[one].shape == weights[other].shape:
        weights[one] = weights[one].flatten()
    weights[one], weights[other] = weights[other], weights[one]
    with pytest.raises(InputError):
        convert(write(weights), tmp_path / "encoder", verify=False)
    assert not (tmp_path / "encoder").exists()


def test_half_a_conversion_is_refused(tmp_path, write, torchvision):
    """Some names of one spelling, the rest of another: a conversion that stopped half way."""
    weights = dict(torchvision.models.resnet18(weights=None).state_dict())
    for name in [name for name in weights if name.startswith("layer3.")]:
        weights[f"encoder.stages.2.{name}"] = weights.pop(name)
    with pytest.raises(InputError, match=r"\d\d problems, nothing was written"):
        convert(write(weights), tmp_path / "encoder")
    assert not (tmp_path / "encoder").exists()
