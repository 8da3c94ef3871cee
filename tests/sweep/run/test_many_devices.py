"""One and three devices: the same stores and the same table of transfer.

The checks stand in ``many_devices``, which needs a process with simulated devices.
"""

from __future__ import annotations

import pytest

from tests.launch import run


@pytest.mark.slow
def test_many_devices() -> None:
    run("tests.sweep.run.many_devices", devices=3)
