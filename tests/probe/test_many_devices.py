"""The linear probe over one, two, three and eight devices: the same answers.

The checks stand in ``many_devices``, which needs a process with simulated devices.
"""

from __future__ import annotations

import pytest

from tests.launch import run


@pytest.mark.parametrize("check", ["objectives", "choices", "read_features", "spread_features"])
def test_many_devices(check: str) -> None:
    assert run("tests.probe.many_devices", check, devices=8) == ["done\n"]
