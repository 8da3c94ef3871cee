"""What a column may depend on: never the order of rows, the number of images by definition only.

Every column of the tables ``points``, ``summary`` and ``models`` is looked at; a new one has to be
put into one of the lists here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mgm_jax.geometry.cloud.moments import moments_of
from mgm_jax.geometry.cloud.views import alignment, lidar, pair_distance
from mgm_jax.geometry.cloud.whitening import whitened_invariance
from mgm_jax.metrics import METRIC_COLUMNS, manifold_metrics, panel, summarise
from mgm_jax.metrics.summary import SUMMARY_COLUMNS
from mgm_jax.probe.knn import knn_accuracy
from mgm_jax.sweep.measures.measure import measure_reference

WIDTH, IMAGES, VIEWS = 40, 3, 14

# By definition: the nearest of more images lie nearer, and more images span more directions.
GROWS_WITH_IMAGES = {"typical_distance", "rankme", "alpha_req", "nesum", "lidar"}
OF_IMAGES = ("rankme", "alpha_req", "nesum", "uniformity", "mean_cosine", "typical_distance")
OF_LABELS = ("knn_accuracy", "knn_accuracy_low", "knn_accuracy_high")
OF_VIEWS: dict[str, Callable[..., float]] = {
    "lidar": lidar,
    "alignment": alignment,
    "whitened_invariance": whitened_invariance,
}


def _images(n: int, *, seed: int) -> np.ndarray:
    """Images of an encoder in a narrow cone, ``[n, WIDTH]``."""
    random = np.random.default_rng(seed)
    scale = np.linspace(1.5, 0.5, WIDTH)
    return (2 + scale * random.normal(size=(n, WIDTH))).astype(np.float32)


def _views_of(images: np.ndarray, *, views: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    noise = 0.3 * random.normal(size=(len(images) * views, WIDTH))
    groups = np.repeat(np.arange(len(images)), views)
    return (images[groups] + noise).astype(np.float32), groups


@pytest.fixture(scope="module")
def records():
    """Records of the same views beside image sets of other sizes, and in another order."""
    images = _images(2000, seed=0)
    views, groups = _views_of(images[:IMAGES], views=VIEWS, seed=1)
    result = {
        n: manifold_metrics(views, groups=groups, reference_distance=pair_distance(images[:n]))
        for n in (50, 250, 2000)
    }
    order = np.random.default_rng(2).permutation(len(views))
    mixed = images[np.random.default_rng(3).permutation(2000)]
    moved = manifold_metrics(
        views[order], groups=groups[order], reference_distance=pair_distance(mixed)
    )
    return result, moved, order


@pytest.mark.parametrize("name", METRIC_COLUMNS)
def test_a_point_does_not_see_the_order_of_rows_or_the_number_of_images(records, name):
    result, moved, order = records
    whole = getattr(result[2000], name).astype(np.float64)
    np.testing.assert_allclose(getattr(moved, name), whole[order], rtol=1e-9, atol=1e-9)
    for n in (50, 250):
        # A unit from 50 images is known to a few percent, and does not drift with their number.
        np.testing.assert_allclose(getattr(result[n], name), whole, rtol=0.06, atol=1e-12)


def _panels(n: int, *, repeats: int) -> dict[str, np.ndarray]:
    rows = [panel(_images(n, seed=10 + seed)).to_dict() for seed in range(repeats)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def test_a_panel_does_not_see_the_order_of_rows():
    images = _images(200, seed=4)
    labels = np.arange(200) % 5
    images[:, :5] += np.eye(5)[labels]
    order = np.random.default_rng(5).permutation(200)
    one, other = (
        measure_reference(images[rows], labels[rows], seed=0) for rows in (slice(None), order)
    )
    assert set(one.panel) == {*OF_IMAGES, *OF_LABELS}
    for name, value in one.panel.items():
        assert other.panel[name] == pytest.approx(value, rel=1e-6), name
    assert other.distance == pytest.approx(one.distance, rel=1e-12)


def test_a_panel_sees_the_number_of_images_only_where_its_definition_does():
    few, many = _panels(50, repeats=12), _panels(250, repeats=12)
    for name in OF_IMAGES:
        error = np.hypot(few[name].std(ddof=1), many[name].std(ddof=1)) / np.sqrt(12)
        apart = abs(few[name].mean() - many[name].mean()) / error
        assert (apart > 8) if name in GROWS_WITH_IMAGES else (apart < 4), (name, apart)


@pytest.mark.parametrize("name", OF_VIEWS)
def test_measures_of_views_see_neither_order_nor_how_many_there_are(name):
    reference = moments_of(_images(500, seed=6))
    measure = OF_VIEWS[name]
    options = {"reference": reference} if name == "whitened_invariance" else {}

    def value(images: int, views: int) -> float:
        x, groups = _views_of(_images(images, seed=7), views=views, seed=8)
        order = np.random.default_rng(9).permutation(len(x))
        result = measure(x, groups, **options)
        assert measure(x[order], groups[order], **options) == pytest.approx(result, rel=1e-9)
        return result

    whole = value(200, 8)
    for count in ((200, 3), (60, 8)):
        near = abs(value(*count) / whole - 1) < 0.03
        assert near != (name in GROWS_WITH_IMAGES and count[0] < 200), count


@pytest.mark.parametrize("name", SUMMARY_COLUMNS)
def test_a_summary_counts_a_group_once_in_any_order(name):
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(9), 7)
    values = random.normal(size=groups.size) + groups
    table = summarise({"a": values}, groups, resamples=100)
    order = random.permutation(groups.size)
    moved = summarise({"a": values[order]}, groups[order], resamples=100)
    assert moved.loc["a", name] == pytest.approx(table.loc["a", name], rel=1e-12)
    # A group that is seen twice over weighs as much as before.
    twice = np.concatenate([np.arange(groups.size), np.arange(7)])
    again = summarise({"a": values[twice]}, groups[twice], resamples=100)
    more = 7 * (name == "points")
    assert again.loc["a", name] == pytest.approx(table.loc["a", name] + more, rel=1e-12)


def test_k_nn_accuracy_takes_the_images_in_any_order():
    images, labels = _images(120, seed=11), np.arange(120) % 4
    images[:, :4] += np.eye(4)[labels]
    order = np.random.default_rng(12).permutation(120)
    one = knn_accuracy(images, labels, k=10)
    assert knn_accuracy(images[order], labels[order], k=10).accuracy == one.accuracy
    assert 0.25 < one.accuracy < 1
