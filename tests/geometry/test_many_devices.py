"""One, three and eight devices: the same results, at the cost that the model says.

The checks stand in ``many_devices``, which needs a process with simulated devices.
"""

from __future__ import annotations

import pytest

from mgm_jax.parallel.ring import cut
from tests.launch import run


@pytest.mark.slow
def test_many_devices() -> None:
    run("tests.geometry.many_devices", devices=8)


@pytest.mark.nightly
def test_metrics_of_what_is_spread() -> None:
    run(
        "tests.geometry.many_devices",
        "spread_groups",
        "one_spread_cloud",
        "spread_large_groups",
        devices=8,
    )


@pytest.mark.nightly
def test_the_scan_in_buckets_at_length() -> None:
    run("tests.geometry.many_devices", "in_buckets_at_length", devices=8)


@pytest.mark.parametrize("most", [16, 80, 8192])
@pytest.mark.parametrize("least", [1, 15, 16])
def test_a_cut_covers_a_share(most: int, least: int) -> None:
    for share in [*range(least, 200), 1250, 8200, 162_500]:
        blocks = cut(share, most=most, least=least)
        assert least <= blocks.size <= min(share, most)
        assert (blocks.count - 1) * blocks.size < share <= blocks.count * blocks.size
