"""Manifold metrics as devices without float64 compute them, on the CPU, against float64."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from mgm_jax.geometry.backend.pairs import split_float64
from mgm_jax.geometry.backend.wide import arithmetic
from mgm_jax.metrics import ManifoldMetrics, large_groups, manifold_metrics, small_groups
from mgm_jax.metrics.in_pairs import compare
from mgm_jax.metrics.in_pairs import large_groups as large_in_pairs
from mgm_jax.metrics.in_pairs import small_groups as small_in_pairs
from mgm_jax.metrics.in_pairs.subspaces import PairSubspaces
from tests.compilations import compiled
from tests.geometry.clouds import cloud
from tests.geometry.hard.hard_clouds import GROUPS as HARD_GROUPS
from tests.geometry.hard.hard_clouds import clouds

GROUPS = np.repeat([7, 3, 5], [21, 20, 22])
HARD = clouds()

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*equal an earlier row", "ignore:.*repeat an earlier row"
)

# Bounds of what docs/numerics.md measures; columns that are not named are equal.
ERRORS = {
    "nnk_diameter": 1e-12,
    "nnk_radius": 1e-12,
    "knn_distance": 1e-12,
    "nnk_residual": 1e-11,
    "nnk_kkt": 1e-12,
    "nnk_affinity": 1e-5,
    "nnk_affinity_excess": 1e-5,
    "nnk_affinity_null": 1e-5,
    "pca_participation_ratio": 1e-9,
    "duplicates": 1e-15,
}


def _agree(result: ManifoldMetrics, expected: ManifoldMetrics, *, at_limit: float = 1) -> None:
    for name in expected.columns:
        one, two = (np.asarray(getattr(m, name), float) for m in (result, expected))
        error = max(at_limit * ERRORS[name], 1e-12) if name in ERRORS else 0
        np.testing.assert_allclose(one, two, rtol=0, atol=error, err_msg=name)


class _Host:
    """Counts the points or groups that are measured in float64 beside the device."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.groups, self.rows = 0, 0
        for module, name in (
            (small_groups, "_on_host"),
            (large_groups, "_some_on_host"),
        ):
            monkeypatch.setattr(module, name, self._counting(getattr(module, name)))

    def _counting(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            if call.__name__ == "_on_host":
                self.groups += len(arguments[-1])
            else:
                self.rows += len(arguments[-1])
            return call(*arguments)

        return counted


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> _Host:
    return _Host(monkeypatch)


@pytest.mark.parametrize(
    ("kind", "groups", "rows"),
    [
        # Compiles for long; the programs of a large group share most of what it runs.
        pytest.param("relu", GROUPS, 63, marks=pytest.mark.nightly),
        ("relu", None, 270),
        ("views_1e-2", None, 270),
    ],
)
def test_metrics_are_those_of_float64(
    monkeypatch: pytest.MonkeyPatch, host: _Host, kind: str, groups: Any, rows: int
) -> None:
    x = cloud(kind, n=280)[:rows, :256]
    expected = manifold_metrics(x, groups=groups, k=12)
    near = large_groups.nearest_in_cloud_of(x, k=12, on_sphere=True, mesh=None)
    monkeypatch.setattr(large_groups, "nearest_in_cloud_of", lambda *_, **__: near)
    with arithmetic("pairs"), compiled() as programs:
        _agree(manifold_metrics(x, groups=groups, k=12), expected)
    assert host.rows == 0 and host.groups == 0
    assert len(programs) <= (3 if groups is None else 1)


def test_no_program_of_a_large_group_waits_for_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    x = cloud("relu", n=280)[:270, :256]
    all_called, on_host = threading.Event(), large_in_pairs.pca_on_host

    def programs_of(*arguments: Any, **options: Any) -> large_in_pairs.Programs:
        programs = make(*arguments, **options)

        def compare_rows(*given: Any) -> Any:
            result = programs.compare_rows(*given)
            all_called.set()
            return result

        return programs._replace(compare_rows=compare_rows)

    def pca_on_host(*arguments: Any, **options: Any) -> Any:
        assert all_called.wait(60), (
            "the comparison was called for before the eigenvalues were there"
        )
        return on_host(*arguments, **options)

    make = large_in_pairs.programs_of
    monkeypatch.setattr(large_in_pairs, "programs_of", programs_of)
    monkeypatch.setattr(large_in_pairs, "pca_on_host", pca_on_host)
    with arithmetic("pairs"):
        result = manifold_metrics(x, k=12)
    assert np.isfinite(result.pca_participation_ratio).all()


def test_polytopes_are_compared_in_blocks_of_like_degree(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    # Far from the origin, so that high parts alone would not do.
    x = rng.normal(size=(60, 64)) + 64
    n, k, degree = len(x), 21, rng.integers(0, 22, 60)
    spans = PairSubspaces.empty(n, k)
    bases = []
    for i in range(n):
        near = rng.permutation(np.delete(np.arange(n), i))[: degree[i]]
        spans.neighbours[i, : degree[i]] = near
        gaps = x[near] - x[i]
        # The transposed inverse of a triangular factor makes an orthonormal frame of differences.
        factor = np.linalg.qr(gaps.T)[1] if degree[i] else np.zeros((0, 0))
        matrix = np.zeros((spans.neighbours.shape[1], k))
        matrix[: degree[i], : degree[i]] = np.linalg.inv(factor)
        spans.made_of[i, : matrix.size] = matrix.ravel()
        bases.append(matrix[: degree[i], : degree[i]].T @ gaps)
    spans = spans._replace(degree=degree.astype(np.int32), dimension=degree.astype(np.int32))
    partners = rng.integers(0, n, (40, 8))
    partners[::3, 5:] = -1
    monkeypatch.setattr(compare, "_GATHERED_VALUES", 2**16)
    compared = jax.jit(compare.compare_rows, static_argnames="k")
    affinity, defect = compared(split_float64(x), spans, np.arange(10, 50), partners, k=k)
    assert np.max(defect) < 3e-6

    def mean(i: int, others: np.ndarray) -> float:
        pairs = [(bases[i], bases[j]) for j in others if degree[i] and degree[j]]
        values = [np.sum((a @ b.T) ** 2) / min(len(a), len(b)) for a, b in pairs]
        return float(np.mean(np.sqrt(values))) if values else np.nan

    near = [mean(i, spans.neighbours[i, : degree[i]]) for i in range(10, 50)]
    chance = [mean(i, row[row >= 0]) for i, row in zip(range(10, 50), partners, strict=True)]
    np.testing.assert_allclose(affinity.nnk_affinity, near, atol=3e-6)
    np.testing.assert_allclose(affinity.nnk_affinity_null, chance, atol=3e-6)


@pytest.mark.parametrize("kernel", ["cosine", "gaussian"])
@pytest.mark.parametrize("kind", sorted(HARD))
@pytest.mark.nightly
def test_metrics_of_hard_clouds_are_those_of_float64(kind: str, kernel: Any) -> None:
    options: dict[str, Any] = {"groups": HARD_GROUPS, "k": 5, "kernel": kernel}
    expected = manifold_metrics(HARD[kind], **options)
    with arithmetic("pairs"):
        result = manifold_metrics(HARD[kind], **options)
    _agree(result, expected, at_limit=100)


@pytest.mark.parametrize(
    ("groups", "rows"),
    [pytest.param(GROUPS, 63, marks=pytest.mark.nightly), (None, 270)],
)
def test_what_is_refused_is_measured_in_float64(
    monkeypatch: pytest.MonkeyPatch, host: _Host, groups: Any, rows: int
) -> None:
    x = cloud("relu", n=280)[:rows, :256]
    expected = manifold_metrics(x, groups=groups, k=12)
    for module in (large_in_pairs, small_in_pairs):
        monkeypatch.setattr(module, "MAX_DEFECT", -1.0)
    with arithmetic("pairs"):
        result = manifold_metrics(x, groups=groups, k=12)
    assert host.rows == (rows if groups is None else 0)
    assert host.groups == (0 if groups is None else 3)
    _agree(result, expected, at_limit=1e-6)
