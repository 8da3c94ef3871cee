"""What ``test_many_devices`` asks of eight simulated devices."""

from __future__ import annotations

import jax
import numpy as np

from mgm_jax.parallel.devices import default_mesh, shard_rows
from mgm_jax.probe.linear import ProbeResult, linear_probe
from mgm_jax.probe.logistic.path import solve_path
from mgm_jax.probe.logistic.problem import prepare
from tests.launch import make_checks
from tests.probe.test_linear import blobs

# Beside one; of two and of eight a share is a power of two alike.
DEVICES = (3, 8)


def objectives() -> None:
    """Every penalty ends at the same objective; 203 rows are no multiple of 3 or 8."""
    l2_penalties = np.logspace(-1, 5, 4)
    for n, d, counts in ((203, 12, DEVICES), (61, 90, DEVICES[:1])):
        x, labels = blobs(n, d)
        # So near the least objective that two of them agree whatever way they took.
        options = {"tolerance": 1e-7}
        alone = solve_path(prepare(x, labels, classes=4), l2_penalties, **options)
        assert alone.converged.all()
        for count in counts:
            mesh = default_mesh(jax.devices()[:count])
            result = solve_path(prepare(x, labels, classes=4, mesh=mesh), l2_penalties, **options)
            assert result.converged.all()
            np.testing.assert_allclose(result.objective, alone.objective, rtol=1e-6)


def choices() -> None:
    """The probe chooses the same penalty and predicts the same for binary losses."""
    sets = [blobs(n, apart=0.8, seed=s) for s, n in enumerate((203, 151, 300))]
    several = [(x, np.stack([y == c for c in range(3)], axis=1).astype(int)) for x, y in sets]
    options = {"l2_penalties": 5, "measure": "map11"}
    alone = linear_probe(*several, **options)
    _assert_same(linear_probe(*several, **options, devices=jax.devices()[:3]), alone, sets[2][0])


def _assert_same(result: ProbeResult, alone: ProbeResult, x: np.ndarray) -> None:
    """One choice and one answer to each row of x."""
    assert result.l2_penalty == alone.l2_penalty
    # Two objectives as near the least one as they say.
    room = np.maximum(result.excess, alone.excess) + 1e-6
    assert (np.abs(result.objective / alone.objective - 1) <= room).all()
    same = result.logits(x).argmax(axis=1) == alone.logits(x).argmax(axis=1)
    assert same.all() and result.score == alone.score


def read_features() -> None:
    """Features that are read share every block, which no number of devices divides."""
    sets = [blobs(n, apart=0.8, seed=s) for s, n in enumerate((203, 151, 300))]
    options = {"l2_penalties": [0.1, 10.0], "memory_limit": 0, "block_rows": 50}
    alone = linear_probe(*sets, **options)
    result = linear_probe(*sets, **options, devices=jax.devices()[:3])
    np.testing.assert_allclose(result.objective, alone.objective, rtol=1e-5)
    assert result.l2_penalty == alone.l2_penalty and result.score == alone.score
    wide = [blobs(n, 90, seed=s) for s, n in enumerate((41, 31, 60))]
    alone = linear_probe(*wide, **options)
    result = linear_probe(*wide, **options, devices=jax.devices()[:3])
    np.testing.assert_allclose(result.objective, alone.objective, rtol=1e-5)


def spread_features() -> None:
    """Features that are spread already are worked on where they are, for the same answer."""
    mesh = default_mesh()
    sets = [blobs(n, apart=0.8, seed=s) for s, n in enumerate((208, 152, 304))]
    spread = [(shard_rows(x, mesh), y) for x, y in sets]
    one = linear_probe(*spread, l2_penalties=3)
    two = linear_probe(*sets, l2_penalties=3, devices=mesh)
    np.testing.assert_array_equal(one.objective, two.objective)
    np.testing.assert_array_equal(one.weights, two.weights)
    _assert_same(two, linear_probe(*sets, l2_penalties=3), sets[2][0])


if __name__ == "__main__":
    assert jax.device_count() == max(DEVICES)
    make_checks(objectives, choices, read_features, spread_features)
