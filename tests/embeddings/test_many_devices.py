"""One, two and eight devices, and two processes: the same embeddings to the last bit.

The checks stand in ``many_devices``, which needs processes with simulated devices.
"""

from __future__ import annotations

from pathlib import Path

from tests.launch import free_port, run


def test_any_number_of_devices() -> None:
    [written] = run("tests.embeddings.many_devices", "same_whatever_their_number", devices=8)
    assert written.endswith("done\n")


def test_two_processes_share_the_chunks(tmp_path: Path) -> None:
    common = {
        "TEST_COORDINATOR": f"127.0.0.1:{free_port()}",
        "TEST_FOLDER": str(tmp_path),
    }
    copies = [common | {"TEST_INDEX": str(index)} for index in range(2)]
    for written in run("tests.embeddings.many_devices", "two_processes", devices=2, copies=copies):
        assert written.endswith("done\n")
