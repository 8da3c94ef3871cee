"""NNK as accelerators without float64 compute it, on the CPU, against the path in float64.

That path is compared with SciPy's NNLS in ``test_solve``; where both are at their limit, extended
precision decides here.
"""

from __future__ import annotations

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from mgm_jax.geometry.backend.pairs import join_float64, split_float64
from mgm_jax.geometry.backend.wide import arithmetic, arithmetic_of, wide_arithmetic
from mgm_jax.geometry.nnk.graph import nnk_graph
from mgm_jax.geometry.nnk.in_pairs.exponential import exp
from mgm_jax.geometry.nnk.in_pairs.solve import CERTIFIED
from mgm_jax.geometry.nnk.kernel import COINCIDENT
from mgm_jax.geometry.nnk.solve import SUPPORT_WEIGHT, solve_nnk
from tests.geometry.clouds import cloud, nearest, squared_gaps, unit
from tests.geometry.hard.hard_clouds import GROUPS, clouds

HARD = clouds()
# Clouds whose kernel values differ by so little that float64 settles the weights to 1e-4 at best.
BEYOND_FLOAT64 = {
    *("columns over 12 decades", "far from the origin", "very near one another"),
    *("copies but for 1e-4", "copies but for 1e-7", "two tight clusters"),
}

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*equal an earlier row", "ignore:.*repeat an earlier row"
)


def _problems(kind: str, k: int = 30) -> tuple[np.ndarray, np.ndarray]:
    gaps = squared_gaps(unit(cloud(kind)))
    candidates = nearest(gaps, k)
    among = gaps[candidates[:, :, None], candidates[:, None, :]]
    return 1 - among / 4, 1 - np.take_along_axis(gaps, candidates, axis=1) / 4


@pytest.mark.parametrize("kind", ["random", "relu", "clustered", "low_dimension"])
def test_kernels_are_solved_as_in_float64(kind):
    kernel, target = _problems(kind)
    expected = solve_nnk(kernel, target)
    with arithmetic("pairs"):
        result = solve_nnk(kernel, target)
    np.testing.assert_array_equal(result.theta > SUPPORT_WEIGHT, expected.theta > SUPPORT_WEIGHT)
    np.testing.assert_allclose(result.theta, expected.theta, atol=1e-9)
    np.testing.assert_allclose(result.residual, expected.residual, atol=1e-12)
    assert result.kkt.max() <= 4 * CERTIFIED
    # Features of a few hundred dimensions need no help; rank 7 leaves float32 in doubt.
    assert result.fallback.mean() <= (0.25 if kind == "low_dimension" else 0)


def test_masks_and_lengths_other_than_one():
    kernel, target = _problems("random")
    mask = np.random.default_rng(0).random(target.shape) < 0.7
    spoiled = np.where(mask[:, :, None] & mask[:, None, :], kernel, np.nan)
    expected = solve_nnk(kernel, 3 * target, mask, own=np.full(len(target), 9.0))
    with arithmetic("pairs"):
        result = solve_nnk(
            spoiled, np.where(mask, 3 * target, np.inf), mask, own=np.full(len(target), 9.0)
        )
    np.testing.assert_allclose(result.theta, expected.theta, atol=1e-9)
    np.testing.assert_allclose(result.residual, expected.residual, atol=1e-9)
    assert not result.fallback.any()


def _compare(x: np.ndarray, *, error: float = 1e-6, **options) -> None:
    expected = nnk_graph(x, **options)
    with arithmetic("pairs"):
        result = nnk_graph(x, **options)
    np.testing.assert_array_equal(result.indices, expected.indices)
    np.testing.assert_array_equal(result.weights > 0, expected.weights > 0)
    np.testing.assert_allclose(result.weights, expected.weights, atol=error)
    np.testing.assert_allclose(result.residual, expected.residual, atol=1e-7)
    # Of a point whose candidates all coincide with it, rounding alone says how wide they lie.
    gained = result.resolved & ~expected.resolved
    assert (result.resolved >= expected.resolved).all()
    own = np.take_along_axis(squared_gaps(x), np.maximum(result.indices, 0), axis=1).max(axis=1)
    assert (own[gained] <= COINCIDENT * (x[gained].astype(np.float64) ** 2).sum(axis=1)).all()
    assert result.kkt.max() <= max(4 * CERTIFIED, 2 * expected.kkt.max())


# Two programs show all that four do: of a group more or less the kernel does not know.
@pytest.mark.parametrize(
    ("kernel", "groups"),
    [
        pytest.param("cosine", None, id="cosine"),
        pytest.param("gaussian", GROUPS, id="gaussian-groups"),
        pytest.param("cosine", GROUPS, id="cosine-groups", marks=pytest.mark.nightly),
        pytest.param("gaussian", None, id="gaussian", marks=pytest.mark.nightly),
    ],
)
@pytest.mark.parametrize("kind", sorted(HARD))
def test_graphs_of_hard_clouds_are_those_of_float64(kind, kernel, groups):
    error = 2e-4 if kind in BEYOND_FLOAT64 else 1e-6
    _compare(HARD[kind], k=5, kernel=kernel, groups=groups, error=error)


@pytest.mark.parametrize("kind", ["relu", "views_1e-3"])
def test_rows_of_a_cloud_that_has_no_matrix_of_all_pairs(kind):
    # More points than GRAM_LIMIT, from another cloud than the hard ones.
    _compare(cloud(kind, n=280)[:, :256], k=20)


def test_bandwidths_that_are_handed_in():
    x = HARD["ordinary"]
    widths = np.random.default_rng(1).uniform(1, 3, len(x))
    _compare(x, k=5, kernel="gaussian", bandwidth=widths, groups=GROUPS)


@pytest.mark.nightly
def test_near_copies_are_solved_better_than_in_float64():
    # Noise of 1e-4: kernel values of float64 keep eight digits of their differences.
    x = cloud("views_1e-3", n=40, seed=3)
    wide = x.astype(np.longdouble) / np.sqrt((x.astype(np.longdouble) ** 2).sum(1))[:, None]
    in_float64 = nnk_graph(x, k=20)
    with arithmetic("pairs"):
        in_pairs = nnk_graph(x, k=20)
    errors = []
    for graph in (in_float64, in_pairs):
        worst = 0.0
        for row in range(len(x)):
            chosen = graph.indices[row][graph.weights[row] > 0]
            gaps = ((wide[chosen][:, None] - wide[chosen]) ** 2).sum(2)
            target = 1 - ((wide[chosen] - wide[row]) ** 2).sum(1) / 4
            theta = graph.weights[row][graph.weights[row] > 0].astype(np.longdouble)
            # One step of refinement shows how far the weights were off.
            rest = target - (1 - gaps / 4) @ theta
            step = np.linalg.solve((1 - gaps / 4).astype(float), rest.astype(float))
            worst = max(worst, float(np.abs(step).max()))
        errors.append(worst)
    assert errors[1] < errors[0] and errors[1] < 1e-8


def test_exponentials():
    x = -np.abs(np.random.default_rng(0).normal(0, 20, (8, 64)))
    x[0, :4] = [0, -1e-12, -68.9, -80]
    x = join_float64(split_float64(x))
    result = join_float64(jax.jit(exp)(split_float64(x)))
    np.testing.assert_allclose(result, np.where(x > -69, np.exp(x), 0), rtol=2e-13)


@pytest.mark.parametrize(
    ("platform", "kind", "capability", "expected"),
    [
        ("cpu", "cpu", None, "float64"),
        ("tpu", "TPU v5 lite", None, "pairs"),
        ("gpu", "NVIDIA H200", "9.0", "float64"),
        ("gpu", "NVIDIA A100-SXM4-80GB", "8.0", "float64"),
        ("gpu", "NVIDIA GeForce RTX 4090", "8.9", "pairs"),
        ("gpu", "NVIDIA A10G", "8.6", "pairs"),
        ("gpu", "AMD Instinct MI300X", None, "float64"),
    ],
)
def test_float64_is_left_to_devices_where_it_is_fast(platform, kind, capability, expected):
    device = SimpleNamespace(platform=platform, device_kind=kind, compute_capability=capability)
    assert arithmetic_of(device) == expected
    assert wide_arithmetic() == "float64"
