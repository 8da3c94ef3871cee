"""The page of inputs is what the tables say, and what is installed is two packages."""

from __future__ import annotations

import tomllib
from pathlib import Path

from mgm_converters.listing import BEGIN, END, checkpoint_page
from tests.launch import ROOT


def test_the_page_of_inputs_is_generated_from_the_tables():
    text = (ROOT / "docs" / "inputs.md").read_text(encoding="utf-8")
    part = text.partition(BEGIN)[2].partition(END)[0]
    assert part.strip() == checkpoint_page().strip(), "run python -m mgm_converters.listing"


def test_the_wheel_installs_two_packages_and_none_called_converters():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert sorted(Path(one).name for one in wheel["packages"]) == ["mgm_converters", "mgm_jax"]
    assert not {"include", "force-include", "sources", "only-include"} & wheel.keys()
