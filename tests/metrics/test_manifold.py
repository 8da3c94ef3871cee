"""Manifold metrics against the plain oracle, and what flat, curved and constant data must give."""

from __future__ import annotations

import numpy as np
import pytest

from mgm_jax.errors import InputError
from mgm_jax.metrics import METRIC_COLUMNS, manifold_metrics
from tests.geometry.clouds import cloud
from tests.metrics.oracle import oracle

# Two groups that fill the same padded size, so that one compilation serves most tests.
GROUPS = np.repeat([7, 3], [22, 20])


def _agree(metrics, expected: dict[str, np.ndarray]) -> None:
    for name, column in expected.items():
        np.testing.assert_allclose(getattr(metrics, name), column, atol=1e-6, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["random", "low_dimension", "relu", "views_1e-2", "views_1e-3", "clustered"]
)
def test_columns_are_those_of_the_oracle(kind):
    points = cloud(kind)[: GROUPS.size, :512]
    _agree(manifold_metrics(points, groups=GROUPS), oracle(points, GROUPS))


@pytest.mark.slow
def test_one_large_cloud_without_groups():
    points = cloud("random", n=270)[:, :24]
    metrics = manifold_metrics(points, k=20)
    expected = oracle(points, np.zeros(270), k=20)
    # Eight random points stand for all here.
    whole = expected.pop("nnk_affinity_null")
    _agree(metrics, expected)
    assert metrics.nnk_affinity_null.mean() == pytest.approx(whole.mean(), abs=0.005)
    assert (metrics.group == 0).all()


def test_fewer_candidates_than_members():
    points = cloud("random")[: GROUPS.size]
    metrics = manifold_metrics(points, groups=GROUPS, k=9, pca_threshold=0.8)
    _agree(metrics, oracle(points, GROUPS, k=9, threshold=0.8))


def test_a_gaussian_kernel_off_the_sphere():
    points = cloud("random")[: GROUPS.size] + 3
    widths = np.linspace(6, 12, GROUPS.size)
    metrics = manifold_metrics(
        points, groups=GROUPS, kernel="gaussian", bandwidth=widths, normalize=False
    )
    _agree(metrics, oracle(points, GROUPS, normalize=False, widths=widths))


def test_centring_takes_the_centre_off_before_the_points_are_normalised():
    points = cloud("random")[: GROUPS.size] + 3
    centre = points.mean(axis=0, dtype=np.float64)
    moved = (points - centre).astype(np.float32)
    for center in ("global", centre):
        _agree(manifold_metrics(points, groups=GROUPS, center=center), oracle(moved, GROUPS))


def test_relative_diameter_is_the_diameter_in_units_of_the_reference():
    points = cloud("random")[: GROUPS.size]
    metrics = manifold_metrics(points, groups=GROUPS, reference_distance=0.5)
    np.testing.assert_allclose(metrics.relative_diameter, metrics.nnk_diameter / 0.5)
    assert "relative_diameter" in metrics.columns
    assert manifold_metrics(points, groups=GROUPS).relative_diameter is None


def _rotated(flat: np.ndarray, width: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    frame = np.linalg.qr(random.normal(size=(width, flat.shape[1])))[0]
    return (flat @ frame.T).astype(np.float32)


def test_a_flat_subspace_has_affinity_one():
    flat = np.random.default_rng(0).normal(size=(42, 3))
    points = _rotated(flat, 64, seed=1)
    metrics = manifold_metrics(points, groups=GROUPS, kernel="gaussian", normalize=False)
    # Where a polytope spans less than the subspace, it lies in the others or across them.
    full = metrics.nnk_degree >= 3
    assert full.mean() > 0.5
    for code in (7, 3):
        whole = full & (code == GROUPS)
        np.testing.assert_allclose(metrics.nnk_affinity[whole], 1, atol=1e-3)


def test_affinity_falls_with_the_curvature_of_a_sphere():
    random = np.random.default_rng(2)
    flat = random.uniform(-1, 1, size=(42, 3))
    means = []
    for curvature in (0.05, 0.5, 1.0):
        # The cap of a 3-sphere of this curvature over the same flat points.
        angle = curvature * np.linalg.norm(flat, axis=1, keepdims=True)
        direction = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        cap = np.concatenate([np.sin(angle) * direction, np.cos(angle)], axis=1) / curvature
        points = _rotated(cap, 64, seed=3)
        metrics = manifold_metrics(
            points, groups=np.zeros(42, int), k=15, kernel="gaussian", normalize=False
        )
        means.append(np.nanmean(metrics.nnk_affinity))
    assert means[0] > means[1] > means[2]
    assert means[0] - means[2] > 0.01


@pytest.mark.slow
def test_degree_ranks_intrinsic_dimension():
    random = np.random.default_rng(4)
    degrees = []
    for dimension in (2, 5, 10, 20):
        points = random.normal(size=(64, dimension)) @ random.normal(size=(dimension, 64))
        degrees.append(manifold_metrics(points, k=40).nnk_degree.mean())
    assert (np.diff(degrees) > 1).all()


@pytest.mark.slow
def test_groups_of_two_and_three_points():
    points = cloud("random")[: GROUPS.size]
    groups = np.array([0, 0, 1, 1, 1, *[2] * 20, *[3] * 17])
    metrics = manifold_metrics(points, groups=groups)
    expected = oracle(points, groups)
    few = slice(0, 5)
    assert metrics.k_effective[few].tolist() == [1, 1, 2, 2, 2]
    for name in ("nnk_degree", "nnk_diameter", "nnk_radius", "nnk_affinity", "nnk_residual"):
        np.testing.assert_allclose(getattr(metrics, name)[few], expected[name][few], atol=1e-9)
    # A point with a single neighbour has no diameter, and two points alone have no affinity.
    for name in ("nnk_diameter", "nnk_affinity", "nnk_affinity_excess", "nnk_affinity_null"):
        assert np.isnan(getattr(metrics, name)[:2]).all(), name
    np.testing.assert_array_equal(np.isnan(metrics.nnk_diameter), metrics.nnk_degree < 2)
    assert metrics.degenerate[:2].all() and np.isfinite(metrics.nnk_affinity[2:]).all()
    assert metrics.saturated[:2].all() and metrics.pca_dimension[:2].tolist() == [0, 0]


@pytest.mark.filterwarnings("ignore:.*repeat an earlier row")
def test_a_constant_group_is_flagged_and_touches_no_other():
    points = cloud("random")[: GROUPS.size]
    constant = points.copy()
    constant[:22] = points[0]
    metrics, other = (manifold_metrics(x, groups=GROUPS) for x in (constant, points))
    assert metrics.degenerate[:22].all() and not metrics.degenerate[22:].any()
    assert (metrics.nnk_degree[:22] == 1).all() and (metrics.duplicates[:22] == 1).all()
    assert np.isnan(metrics.nnk_diameter[:22]).all() and np.isnan(metrics.nnk_affinity[:22]).all()
    for name in metrics.columns:
        np.testing.assert_allclose(getattr(metrics, name)[22:], getattr(other, name)[22:])


def test_opposite_points_have_no_neighbour_and_are_flagged():
    points = cloud("random")[: GROUPS.size]
    points[21:23] = points[[21, 21]] * [[1], [-2]]
    groups = np.array([*[7] * 21, 1, 1, *[3] * 19])
    metrics = manifold_metrics(points, groups=groups)
    assert metrics.nnk_degree[21:23].tolist() == [0, 0]
    assert np.isnan(metrics.nnk_diameter[21:23]).all() and metrics.degenerate[21:23].all()
    assert metrics.nnk_residual[21:23].tolist() == [1, 1]


def test_repeated_rows_are_reported_dropped_or_refused():
    points = cloud("random")[: GROUPS.size]
    points[[4, 30]] = points[[1, 29]]
    with pytest.warns(UserWarning, match=r"2 rows repeat.*rows 4, 30.*groups 3, 7"):
        warned = manifold_metrics(points, groups=GROUPS)
    assert np.isnan(warned.nnk_diameter[[1, 4, 29, 30]]).all()
    assert warned.duplicates[1] == pytest.approx(1 / 21)
    dropped = manifold_metrics(points, groups=GROUPS, duplicates="drop")
    kept = np.delete(np.arange(GROUPS.size), [4, 30])
    alone = manifold_metrics(points[kept], groups=GROUPS[kept])
    for name in dropped.columns:
        column = getattr(dropped, name)
        if name != "duplicates":
            np.testing.assert_allclose(column[kept], getattr(alone, name), err_msg=name)
        np.testing.assert_array_equal(column[[4, 30]], column[[1, 29]])
    # One of the other members of its group was dropped, in each of the two groups.
    for group, share in zip(*np.unique(GROUPS, return_counts=True), strict=True):
        expected = 1 / (share - 1) if group in (3, 7) else 0
        np.testing.assert_allclose(dropped.duplicates[group == GROUPS], expected)
    with pytest.raises(InputError, match="distinct rows"):
        manifold_metrics(points, groups=GROUPS, duplicates="raise")
    with pytest.raises(InputError, match=r"at least 41 distinct points; .*: 40\."):
        manifold_metrics(points, duplicates="drop", k=40)


def test_every_undefined_value_is_flagged_and_nothing_else():
    points = cloud("low_dimension")[: GROUPS.size, :2]
    metrics = manifold_metrics(points, groups=GROUPS)
    undefined = np.isnan([getattr(metrics, name) for name in metrics.columns]).any(axis=0)
    np.testing.assert_array_equal(metrics.degenerate, undefined)
    # Two differences span the plane, and then affinity is 1 whatever the data.
    np.testing.assert_array_equal(np.isnan(metrics.nnk_affinity_excess), metrics.nnk_degree >= 2)


def test_points_with_one_neighbour_are_left_out_of_the_diameters_of_a_summary():
    # Two views an image, each twice, beside images whose views differ.
    pairs, views = cloud("random")[:8], cloud("random")[8:48]
    x = np.concatenate([np.repeat(pairs, 2, axis=0), views])
    groups = np.concatenate([np.repeat(np.arange(4), 4), np.repeat([4, 5], 20)])
    result = manifold_metrics(x, groups=groups, duplicates="drop", reference_distance=0.5)
    table = result.summary(resamples=50).table
    alone = manifold_metrics(views, groups=groups[16:], reference_distance=0.5)
    for name in ("nnk_diameter", "relative_diameter"):
        undefined = np.isnan(getattr(result, name))
        np.testing.assert_array_equal(undefined, result.nnk_degree < 2)
        assert undefined[:16].all() and table.loc[name, "left_out"] == undefined.sum()
        assert table.loc[name, "groups"] == 2
        expected = alone.summary(resamples=50).table.loc[name]
        for value in ("mean", "median", "low", "high"):
            assert table.loc[name, value] == pytest.approx(expected[value], rel=1e-12), value
    assert table.loc["nnk_radius", "left_out"] == 0


def test_record_as_table_summary_and_notebook_view():
    metrics = manifold_metrics(cloud("random")[: GROUPS.size], groups=GROUPS)
    table = metrics.to_pandas()
    assert list(table.columns) == ["group", *metrics.columns]
    assert set(metrics.columns) == set(METRIC_COLUMNS) - {"relative_diameter"}
    assert table.group.tolist() == GROUPS.tolist() and len(metrics) == GROUPS.size
    summary = metrics.summary(resamples=50)
    means = summary.groups.nnk_degree
    assert means.index.tolist() == [3, 7]
    assert means[7] == metrics.nnk_degree[GROUPS == 7].mean()
    assert summary.to_pandas().loc["nnk_degree", "mean"] == pytest.approx(means.mean())
    assert "42 points in 2 groups" in metrics._repr_html_()
    assert "95% interval" in summary._repr_html_()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 20}, r"k=20 needs groups of at least 21 points; got too few in the groups 3"),
        ({"groups": [0, *GROUPS[1:]]}, r"at least 2 points; got too few in the groups 0"),
        ({"normalize": False}, "needs normalize=True"),
        ({"center": "local"}, "center must be"),
        ({"center": np.zeros(3)}, r"64 finite numbers; got shape \(3,\)"),
        ({"reference_distance": 0.0}, "reference_distance must be"),
        ({"pca_threshold": 1.5}, "pca_threshold must lie"),
        ({"max_points_per_batch": 0}, "max_points_per_batch must be"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        manifold_metrics(cloud("random")[: GROUPS.size], **{"groups": GROUPS, **options})


def test_a_point_at_the_centre_is_refused():
    points = cloud("random")[: GROUPS.size]
    with pytest.raises(InputError, match=r"x - center.*zeros.*rows 5"):
        manifold_metrics(points, groups=GROUPS, center=points[5])
