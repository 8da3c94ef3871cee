"""One and eight devices: the same embeddings to the last bit.

The check stands in ``many_devices``, which needs a process with simulated devices.
"""

from __future__ import annotations

import pytest

from tests.launch import run


@pytest.mark.slow
def test_any_number_of_devices() -> None:
    run("tests.embeddings.many_devices", devices=8)
