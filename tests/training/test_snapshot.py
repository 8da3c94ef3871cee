"""The scalars of a snapshot against float64 NumPy, SciPy and the certified functions."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec
from scipy.optimize import nnls

from mgm_jax import InputError, snapshot
from mgm_jax.geometry.cloud.intrinsic_dimension import two_nn
from mgm_jax.geometry.cloud.spectrum import alignment, lidar, spectrum, uniformity
from mgm_jax.probe.knn import knn_accuracy
from mgm_jax.training.snapshot import points_of
from tests.geometry.clouds import cloud, unit

K = 15
taken = jax.jit(snapshot, static_argnames=("k", "anchors", "axis_name"))


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    random = np.random.default_rng(0)
    mixed = random.normal(size=(240, 12)) @ random.normal(size=(12, 64))
    return np.maximum(mixed + 0.3 * random.normal(size=(240, 64)), 0).astype(np.float32)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 4, 240)


@pytest.fixture(scope="module")
def result(points: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    return {name: float(v) for name, v in taken(points, labels, anchors=240).items()}


@functools.cache
def _nnk(data: bytes) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    points = np.frombuffer(data).reshape(240, 64)
    x = unit(points)
    squared = np.maximum(2 - 2 * x @ x.T, 0)
    degrees, diameters, supports = [], [], []
    for i, row in enumerate(squared):
        near = np.argsort(np.where(np.arange(len(x)) == i, np.inf, row))[:K]
        kernel = 1 - squared[np.ix_(near, near)] / 4
        root = np.linalg.cholesky(kernel)
        weights, _ = nnls(root.T, np.linalg.solve(root, 1 - row[near] / 4))
        chosen = near[weights > 1e-6]
        supports.append(chosen)
        degrees.append(len(chosen))
        diameters.append(np.sqrt(squared[np.ix_(chosen, chosen)].max()))
    return np.array(degrees), np.array(diameters), supports


def nnk_by_scipy(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Degrees, diameters and neighbours of all points by SciPy's NNLS in float64."""
    return _nnk(unit(points).tobytes())


def test_measures_of_the_cloud(points: np.ndarray, result: dict[str, float]) -> None:
    whole = spectrum(points)
    assert result["rankme"] == pytest.approx(whole.rankme, rel=1e-3)
    assert result["alpha_req"] == pytest.approx(whole.alpha_req, rel=1e-3)
    x = unit(points)
    cosines = (x @ x.T)[~np.eye(len(x), dtype=bool)]
    assert result["mean_cosine"] == pytest.approx(cosines.mean(), rel=1e-5)
    assert result["uniformity"] == pytest.approx(uniformity(points), rel=1e-4)


def test_measures_of_neighbourhoods(points: np.ndarray, result: dict[str, float]) -> None:
    degrees, diameters, _ = nnk_by_scipy(points)
    x = unit(points)
    yardstick = np.sqrt((2 - 2 * x @ x.T).sum() / (len(x) * (len(x) - 1)))
    assert result["nnk_degree"] == pytest.approx(degrees.mean(), abs=0.02)
    assert result["relative_diameter"] == pytest.approx(diameters.mean() / yardstick, rel=1e-3)
    assert result["two_nn"] == pytest.approx(two_nn(x).dimension[0], rel=1e-3)


def test_accuracy_is_that_of_the_exact_graph(
    points: np.ndarray, labels: np.ndarray, result: dict[str, float]
) -> None:
    assert result["knn_accuracy"] == pytest.approx(knn_accuracy(points, labels, k=K).accuracy)


def test_affinity_is_that_of_orthonormal_bases(
    points: np.ndarray, result: dict[str, float]
) -> None:
    x = unit(points)
    squared = np.where(np.eye(len(x), dtype=bool), np.inf, 2 - 2 * x @ x.T)
    bases = [np.linalg.qr((x[chosen] - x[i]).T)[0] for i, chosen in enumerate(nnk_by_scipy(x)[2])]
    excess = []
    for i, j in enumerate(squared.argmin(axis=1)):
        smaller, larger = sorted((bases[i].shape[1], bases[j].shape[1]))
        share = np.sum((bases[i].T @ bases[j]) ** 2) / smaller
        excess.append((share - larger / 64) / (1 - larger / 64))
    assert result["affinity_excess"] == pytest.approx(np.mean(excess), abs=0.005)


def test_affinity_of_a_plane_is_full() -> None:
    assert float(taken(cloud("flat_2")[:, :64], anchors=240)["affinity_excess"]) > 0.9


def test_measures_of_views(points: np.ndarray) -> None:
    random = np.random.default_rng(4)
    views = points[:, None] + 0.1 * random.normal(size=(240, 3, 64)).astype(np.float32)
    result = taken(views, anchors=240)
    flat, image = views.reshape(-1, 64), np.repeat(np.arange(240), 3)
    assert float(result["alignment"]) == pytest.approx(alignment(flat, image), rel=1e-4)
    assert float(result["lidar"]) == pytest.approx(lidar(flat, image), rel=1e-3)


def test_fewer_anchors_estimate_the_same(points: np.ndarray, result: dict[str, float]) -> None:
    few = taken(points, anchors=80)
    assert float(few["nnk_degree"]) == pytest.approx(result["nnk_degree"], rel=0.1)
    assert float(few["rankme"]) == result["rankme"]


@pytest.mark.parametrize("spread", [0.0, 1e-6])
def test_a_collapse_is_seen(points: np.ndarray, spread: float) -> None:
    """Equal features have no neighbours, and those of one direction hardly more than rank one."""
    collapsed = (points[:1] + spread * points).astype(np.float32)
    result = taken(collapsed, anchors=240)
    assert float(result["mean_cosine"]) > 0.999
    assert float(result["rankme"]) < 1.1


def test_within_a_step_and_under_shard_map(points: np.ndarray, result: dict[str, float]) -> None:
    def step(weights: jax.Array, x: jax.Array) -> tuple[jax.Array, dict[str, Any]]:
        return weights - 0.1 * weights, snapshot(x @ weights, anchors=240, axis_name="rows")

    spread = jax.shard_map(
        step,
        mesh=Mesh(np.array(jax.devices()[:1]), ("rows",)),
        in_specs=(PartitionSpec(), PartitionSpec("rows")),
        out_specs=PartitionSpec(),
        check_vma=False,
    )
    _, inside = jax.jit(spread)(jnp.eye(64), points)
    assert float(inside["rankme"]) == pytest.approx(result["rankme"], rel=1e-4)
    assert float(inside["nnk_degree"]) == pytest.approx(result["nnk_degree"])


@pytest.mark.parametrize("unit_of", [2.0**100, 2.0**-100])
def test_the_unit_does_not_count(
    points: np.ndarray, labels: np.ndarray, result: dict[str, float], unit_of: float
) -> None:
    """Squares of such values do not fit into float32: cosines were 0 and degrees 1."""
    scaled = taken(points * np.float32(unit_of), labels, anchors=240)
    assert {name: float(value) for name, value in scaled.items()} == result


@pytest.mark.parametrize("wrong", [0.0, np.nan, np.inf])
def test_a_row_without_a_direction_leaves_no_neighbourhoods(
    points: np.ndarray, labels: np.ndarray, wrong: float
) -> None:
    """NaN ranks above every cosine, so such a row would be nearest to all others."""
    spoilt = np.where(np.arange(240)[:, None] == 7, wrong, points)
    result = taken(spoilt, labels, anchors=240)
    of_neighbours = {"nnk_degree", "relative_diameter", "affinity_excess", "two_nn"}
    of_neighbours |= {"knn_accuracy", "uniformity", "mean_cosine"}
    assert of_neighbours <= {name for name, value in result.items() if np.isnan(value)}
    assert np.isfinite(float(result["rankme"])) == (wrong == 0)


def test_features_and_labels_of_any_kind(
    points: np.ndarray, labels: np.ndarray, result: dict[str, float]
) -> None:
    """Names of classes, and types that JAX does not take."""
    torch = pytest.importorskip("torch")
    for features in (
        points.astype(">f8"),
        points.astype(np.longdouble),
        torch.tensor(points, requires_grad=True),
    ):
        np.testing.assert_array_equal(points_of(features), jnp.asarray(points))
    names = np.array(["ant", "bee", "cat", "dog"])[labels].tolist()
    given = snapshot(points.astype(">f8"), names, anchors=240)
    assert float(given["knn_accuracy"]) == pytest.approx(result["knn_accuracy"])
    assert float(given["rankme"]) == pytest.approx(result["rankme"], rel=1e-5)


@pytest.mark.parametrize(
    ("features", "labels", "options", "named"),
    [
        (np.ones(8), None, {}, r"got shape \(8,\)"),
        (np.ones((8, 1, 4)), None, {}, "at least 2 views"),
        (np.ones((8, 0)), None, {}, "at least one column"),
        (np.ones((8, 4)), None, {"k": 8}, "8 rows and k=8"),
        (np.ones((20, 4)), np.ones(3, int), {}, r"the 20 points; got shape \(3,\)"),
        (np.ones((20, 4)), [None] + 19 * ["a"], {}, r"rows 0"),
        (np.ones((20, 4), complex), None, {}, "dtype complex128"),
        (np.ma.masked_equal(np.eye(20), 1), None, {}, "masked values in 20 rows"),
    ],
)
def test_what_does_not_fit_is_named(
    features: np.ndarray, labels: Any, options: dict[str, int], named: str
) -> None:
    with pytest.raises(InputError, match=named):
        snapshot(features, labels, **options)
