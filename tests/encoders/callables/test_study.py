"""Callables in a study: the views of a converted encoder, resumed, named in the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import mgm_jax as mgm
from mgm_jax.cli import app
from mgm_jax.encoders import wrap
from mgm_jax.errors import InputError
from mgm_jax.study import make_study
from mgm_jax.sweep import run_study

IMAGES = {"source": "digits", "per_class": 6}
SIZE = 8
VIEWS = {"settings": ["rotation"], "images": 6, "views": 6}
METRICS = {"k": 4, "resamples": 100}

PROGRAM = """
import numpy as np
import mgm_jax as mgm

def pixels(x):
    return x.reshape(len(x), -1)

def make():
    return {"mine": mgm.wrap(pixels, size=8)}

broken = 3
"""


def colour(x):
    """Nothing that JAX can trace."""
    return np.asarray(x).copy().mean((1, 2)) * [1, 2, 3]


def measured(out: Path, encoders: dict):
    return mgm.study(
        encoders=encoders,
        images=IMAGES,
        augmentation=VIEWS,
        metrics=METRICS,
        out=out,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """One computation in every kind, beside the package's own encoder of the same features."""
    torch = pytest.importorskip("torch")
    out = tmp_path_factory.mktemp("callables") / "out"
    own = mgm.load_encoder(f"pixels:size={SIZE}")
    look = own.preprocess.to_dict()
    flat = torch.nn.Sequential(torch.nn.PixelUnshuffle(SIZE), torch.nn.Flatten())
    measured(
        out,
        {
            "jax": wrap(lambda x: x.reshape(len(x), -1), **look),
            "torch": wrap(flat, **look),
            "own": own,
            "numpy": wrap(colour, size=SIZE, digest="v1"),
        },
    )
    return out


def test_every_kind_sees_the_same_views(finished):
    summary = json.loads((finished / "study.json").read_text())
    assert [one["kind"] for one in summary["encoders"]] == [
        *("JAX function", "PyTorch module", "", "Python function")
    ]
    summary = pd.read_parquet(finished / "summary.parquet").set_index("encoder")["mean"]
    assert len(summary["own"]) > 10
    for kind in ("jax", "torch"):
        np.testing.assert_allclose(summary[kind], summary["own"], rtol=1e-3, atol=1e-4)


def test_the_kind_stands_in_the_report(finished):
    page = (finished / "report.html").read_text()
    for kind in ("PyTorch module", "JAX function", "Python function"):
        assert kind in page


def test_a_finished_callable_is_not_asked_again(finished):
    def refuses(x):
        raise AssertionError("asked again")

    kept = wrap(colour, size=SIZE, digest="v1")
    object.__setattr__(kept, "run", refuses)
    study = make_study(
        {
            "encoders": [{"name": "numpy", "source": "callable:numpy"}],
            "images": [IMAGES],
            "augmentation": VIEWS,
            "metrics": METRICS,
        }
    )
    assert not run_study(study, finished, callables={"numpy": kept}).failures


def test_what_cannot_be_resumed_says_so(tmp_path):
    study = make_study(
        {
            "encoders": [{"source": "callable:nameless"}],
            "images": [IMAGES],
            "augmentation": None,
            "metrics": METRICS,
        }
    )
    result = run_study(
        study, tmp_path, callables={"nameless": wrap(colour, size=SIZE)}, until="embed"
    )
    assert any("computed anew" in line and "digest" in line for line in result.notes)


def test_a_function_is_named_on_the_command_line_alone(tmp_path, monkeypatch):
    (tmp_path / "program_of_mine.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    study = tmp_path / "study.yaml"
    study.write_text(
        "encoders: [{source: 'callable:mine', name: x}]\nimages: [{source: digits, per_class: 5}]\n"
        "augmentation: null\nmetrics: {k: 4, resamples: 100}\n"
    )
    run = CliRunner()
    arguments = ["run", str(study), "-o", str(tmp_path / "out")]
    refused = run.invoke(app, arguments)
    assert isinstance(refused.exception, InputError) and "--encoder-from" in str(refused.exception)
    done = run.invoke(app, [*arguments, "--encoder-from", "program_of_mine:make"])
    assert done.exit_code == 0, done.exception
    (one,) = json.loads((tmp_path / "out" / "study.json").read_text())["encoders"]
    assert (one["name"], one["kind"]) == ("x", "JAX function")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("program_of_mine", "expected package.module:function"),
        ("program_of_mine:none", "has no attribute 'none'"),
        ("no_such_program:make", "No module named 'no_such_program'"),
        ("program_of_mine:broken", "it raised TypeError"),
        ("program_of_mine:pixels", "it raised TypeError"),
    ],
)
def test_what_is_no_function_of_encoders_is_said(tmp_path, monkeypatch, place, message):
    from mgm_jax.encoders.callables.given import encoders_from

    (tmp_path / "program_of_mine.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=message):
        encoders_from(place)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"encoders": {"a": lambda x: x}, "images": "digits"}, "the input of a cannot be known"),
        ({"encoders": {"a": 3}, "images": "digits"}, "got int"),
        ({"encoders": {"a": "pixels"}}, "encoders and images go together"),
        ({}, "must name at least one model"),
    ],
)
def test_studies_in_memory_that_cannot_be(tmp_path, how, message):
    with pytest.raises(InputError, match=message):
        mgm.study(**how, out=tmp_path / "out")
