"""BYOL's own pickle: read without its code, and its ResNet padded as TensorFlow pads."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from mgm_converters import convert
from mgm_converters.reading.read import read_checkpoint
from mgm_jax.encoders import ResNetSpec
from mgm_jax.errors import InputError
from tests.converters.haiku import write_byol
from tests.encoders.oracles import busy_state, encoder_of

pytest.importorskip("torch")

SPEC = ResNetSpec(blocks=(1, 2, 1, 1), block="bottleneck", channels=8)


@pytest.mark.parametrize("protocol", [2, 4])
def test_weights_arrive_bit_for_bit(tmp_path, protocol):
    state = busy_state(SPEC)
    path = write_byol(tmp_path / "pretrain_res50x1.pkl", state, protocol=protocol)
    assert "byol.byol_experiment" not in sys.modules
    conversion = convert(path, verify=False)
    report, encoder = conversion.report, conversion.encoder
    assert "byol.byol_experiment" not in sys.modules, "nothing of the file may be imported"
    assert encoder.weights_sha256 == encoder_of(SPEC, state).weights_sha256
    assert (report.format, report.method, report.paradigm) == ("pickle", "BYOL", "non-contrastive")
    assert report.prefix == "res_net50." and report.left == ()
    assert encoder.spec.padding == "tf-same"
    assert convert(path, padding="torchvision", verify=False).encoder.spec.padding == "torchvision"
    assert encoder.preprocess.interpolation == "bicubic"


@pytest.mark.slow
def test_compared_with_pytorch_at_every_tap(tmp_path):
    small = ResNetSpec(blocks=(1, 1, 1, 1), block="bottleneck", channels=4)
    report = convert(write_byol(tmp_path / "byol.pkl", busy_state(small))).report
    assert report.largest_error is not None and report.largest_error <= 1e-4


class Touch:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


def test_code_in_the_pickle_is_refused_and_not_run(tmp_path):
    marker = tmp_path / "ran"
    state = busy_state(SPEC)
    path = write_byol(tmp_path / "byol.pkl", state, extra={"x": Touch(marker)})
    with pytest.raises(InputError, match=r"names the type (posix|nt)\.system"):
        convert(path, tmp_path / "encoder")
    assert not marker.exists() and not (tmp_path / "encoder").exists()


@pytest.mark.parametrize(
    "value",
    [np.array([object()]), np.zeros(2, [("a", "f4")]), np.array(["text"])],
    ids=["objects", "structures", "text"],
)
def test_arrays_of_other_things_than_numbers_are_refused(tmp_path, value):
    path = write_byol(tmp_path / "byol.pkl", busy_state(SPEC), extra={"x": value})
    with pytest.raises(InputError):
        read_checkpoint(path)
