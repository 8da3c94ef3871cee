"""The linear probe over one, three and eight devices: the same answers.

The checks stand in ``many_devices``, which needs a process with simulated devices.
"""

from __future__ import annotations

import pytest

from tests.launch import run


@pytest.mark.slow
def test_many_devices() -> None:
    run("tests.probe.many_devices", devices=8)
