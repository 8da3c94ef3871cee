"""Finding the table of weights inside what training code wrapped around it."""

from __future__ import annotations

import argparse

import pytest

from mgm_converters.reading.read import read_checkpoint
from mgm_converters.reading.unwrap import unwrap
from mgm_jax.errors import InputError

torch = pytest.importorskip("torch")

WEIGHTS = {"a.weight": torch.ones(2), "a.bias": torch.zeros(2)}


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        (WEIGHTS, ()),
        ({"state_dict": WEIGHTS, "epoch": 3}, ("state_dict",)),
        ({"model": {"state_dict": WEIGHTS}}, ("model", "state_dict")),
        ({"student": WEIGHTS, "teacher": WEIGHTS}, ("teacher",)),
        ({"encoder": WEIGHTS, "target_encoder": WEIGHTS}, ("target_encoder",)),
        ({"state_dict": WEIGHTS, "queue": torch.ones(3)}, ("state_dict",)),
    ],
)
def test_follows_wrapping_keys(write, content, keys):
    result = unwrap(read_checkpoint(write(content)))
    assert result.keys == keys
    assert list(result.tensors) == list(WEIGHTS)


def test_keeps_facts_and_names_what_it_passed(write):
    content = {
        "teacher": WEIGHTS | {"note": "x"},
        "student": WEIGHTS,
        "epoch": 4,
        "optimizer": None,
        "setup": argparse.Namespace(dataset="cub", sizes=[1, 2]),
    }
    result = unwrap(read_checkpoint(write(content)))
    assert result.facts == {"epoch": 4, "optimizer": None, "setup.dataset": "cub"}
    assert result.passed == {
        "student": "teacher was taken instead",
        "teacher.note": "not a tensor but str",
    }


@pytest.mark.parametrize(
    ("content", "result"),
    [
        ({}, "an empty table"),
        ({"epoch": 1, "log": [2]}, r"epoch \(int\), log \(list\)"),
        (torch.ones(2), "a tensor"),
        ([torch.ones(2)], "list"),
    ],
)
def test_no_weights_is_an_input_error(write, content, result):
    with pytest.raises(InputError, match=f"no weights found.*found {result}"):
        unwrap(read_checkpoint(write(content)))


def test_a_file_that_holds_itself_ends(write):
    content: dict = {}
    content["model"] = content
    with pytest.raises(InputError, match="no weights found"):
        unwrap(read_checkpoint(write(content)))
