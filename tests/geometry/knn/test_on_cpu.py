"""The scan that scores each pair of tiles once: bounds that hold, and the same graph as ever."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.geometry.backend.precision import ScanPrecision, double_precision
from mgm_jax.geometry.knn.cpu import by_pairs as knn_pairs
from mgm_jax.geometry.knn.cpu import kept_tiles, pair_distances, scan_on_host
from mgm_jax.geometry.knn.cpu.aligned_points import BlockBuffer, take_on_device
from mgm_jax.geometry.knn.cpu.by_pairs import good_rows, nearest_by_pairs
from mgm_jax.geometry.knn.cpu.pair_distances import rank_candidates
from mgm_jax.geometry.knn.cpu.scaled_on_host import scale_on_host
from mgm_jax.geometry.knn.cpu.scan_on_host import (
    HostScan,
    even_rows,
    host_bounds,
    host_bounds_within,
    host_rounding,
    host_table,
)
from mgm_jax.geometry.knn.distance import (
    Metric,
    Points,
    bound_slack,
    half_distance_bounds,
    scale_points,
    scan_table,
)
from mgm_jax.geometry.knn.on_device import nearest_in_cloud
from mgm_jax.geometry.knn.selection import NOBODY
from mgm_jax.geometry.knn.tile import SearchOptions, in_units
from tests.geometry.neighbour_oracle import all_distances, clouds, nearest

KINDS = ("post-ReLU features", "views of few images", "far from the origin", "lattice")


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("kind", KINDS)
def test_half_distances_lie_between_bound_and_slack(kind: str, dtype: type) -> None:
    x = clouds()[kind]
    here = np.ones(len(x), bool)
    with double_precision():
        points, _, mean = scale_points(jnp.asarray(x), here, None, None, metric="cosine")
        table = scan_table(points, mean, here, dtype=dtype)
        bounds = np.asarray(half_distance_bounds(table, table, 0), np.float64)
        lengths, moved = (np.asarray(a, np.float64) for a in (table.lengths, table.moved))
        slack = bound_slack(
            lengths,
            moved,
            longest=lengths.max(),
            most_moved=moved.max(),
            dtype=dtype,
            features=x.shape[1],
        )
        scaled = np.asarray(points.values, np.float64) * np.asarray(points.scales)[:, None]
    exact = np.stack([((scaled - row) ** 2).sum(axis=1) for row in scaled]) / 2
    assert np.isinf(np.diagonal(bounds)).all()
    others = ~np.eye(len(x), dtype=bool)
    rounding = 2.0**-48
    assert (bounds[others] <= exact[others] + rounding).all()
    assert (exact <= bounds + slack[:, None] + rounding)[others].all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_half_distances_lie_between_bound_and_slack_on_the_host(kind: str, dtype: type) -> None:
    x = clouds()[kind].astype(np.float32)
    scaled = scale_on_host(x, None, metric="cosine")
    table = host_table(scaled.queries, np.arange(len(x)), scaled.mean, dtype=dtype)
    room = np.empty((len(x), len(x)), dtype), np.empty_like(table.rows)
    bounds = host_bounds(table, table, out=room[0], left=room[1]).astype(np.float64)
    within = host_bounds_within(table, out=np.empty_like(room[0])).astype(np.float64)
    half, rounding = table.half_squares, host_rounding(dtype, features=x.shape[1])
    slack = 2 * rounding * (half[:, None] + half)
    points = x.astype(np.float64) * scaled.queries.scales[:, None]
    exact = np.stack([((points - row) ** 2).sum(axis=1) for row in points]) / 2
    for scores in (bounds, within):
        assert (scores <= exact + 2.0**-48).all()
        assert (exact <= scores + slack + 2.0**-48).all()


@pytest.mark.parametrize("own", [True, False])
def test_the_order_of_entering_is_that_of_one_thread(
    own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits follow what was entered before them, so another order would be another list."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 8)).astype(np.float32)
    scaled = scale_on_host(x, None if own else x[:700], metric="euclidean")
    lists = []
    for workers in (1, 7):
        monkeypatch.setattr(scan_on_host, "workers_for", lambda _, workers=workers: workers)
        scan = HostScan(scaled, own=own, dtype=np.float32, count=12, tiles=(40, 40))
        # Two tiles have room at a time, or all.
        monkeypatch.setattr(scan.targets, "room", 2 * workers)
        scan.run()
        lists.append(scan.lists.results())
    for one, many in zip(*lists, strict=True):
        np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize("metric", ["cosine", "sqeuclidean", "euclidean"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_pairs_and_rows_find_the_same(kind: str, metric: Metric, precision: str) -> None:
    """The accelerators' search and the CPU's are the oracle of each other."""
    x = clouds()[kind]
    ours = nearest_by_pairs(
        x, None, SearchOptions(k=7, metric=metric, precision=precision, tile_rows=32)
    )
    other = nearest_in_cloud(
        jnp.asarray(x),
        None,
        SearchOptions(k=7, metric=metric, precision=precision, tile_columns=64),
    )
    np.testing.assert_array_equal(ours.indices, other.indices)
    np.testing.assert_array_equal(ours.distances, other.distances)


@pytest.mark.slow
def test_post_relu_rows_are_certified_at_once() -> None:
    rng = np.random.default_rng(0)
    x = np.maximum(rng.normal(size=(700, 512)), 0).astype(np.float32)
    found = nearest_by_pairs(x, None, SearchOptions(k=20, metric="cosine", precision="float32"))
    assert found.certified.all()
    np.testing.assert_array_equal(found.indices, nearest(x, k=20, metric="cosine")[0])


def test_a_cloud_of_which_one_scan_settles_less_than_half() -> None:
    # All rows are scanned again then: those that were settled, too.
    rng = np.random.default_rng(0)
    apart, close = 10 * rng.normal(size=(100, 16)), 5 + 1e-3 * rng.normal(size=(200, 16))
    x = np.concatenate([apart, close]).astype(np.float32)
    found = nearest_by_pairs(x, None, SearchOptions(k=5, metric="euclidean", precision="float32"))
    assert 0 < found.certified.sum() <= 100
    np.testing.assert_array_equal(found.indices, nearest(x, k=5, metric="euclidean")[0])


@pytest.mark.slow
@pytest.mark.parametrize("rows", [16, 40, 96, 300])
def test_few_kept_tiles_change_nothing(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = clouds()["views of few images"]
    base = clouds()["post-ReLU features"]
    monkeypatch.setattr(kept_tiles, "_KEPT_BYTES", 1)
    monkeypatch.setattr(pair_distances, "_BLOCK_BYTES", 20 * 96 * 4)
    for others in (None, base):
        ours = nearest_by_pairs(
            x,
            others,
            SearchOptions(
                k=7,
                metric="euclidean",
                precision="float32",
                tile_rows=rows,
                tile_columns=rows,
            ),
        )
        indices, _ = nearest(x, k=7, metric="euclidean", base=others)
        np.testing.assert_array_equal(ours.indices, indices)


def test_more_neighbours_than_points_stay_open() -> None:
    x = clouds()["post-ReLU features"][:6]
    found = nearest_by_pairs(x, None, SearchOptions(k=9, metric="cosine", precision="float32"))
    assert (found.indices[:, 5:] == NOBODY).all() and np.isinf(found.distances[:, 5:]).all()
    np.testing.assert_array_equal(found.indices[:, :5], nearest(x, k=5, metric="cosine")[0])
    assert found.certified.all()


def test_the_same_tiles_compile_once() -> None:
    x = np.random.default_rng(0).normal(size=(900, 33)).astype(np.float32)
    nearest_by_pairs(x, None, SearchOptions(k=5, metric="cosine", precision="bfloat16"))
    traced = half_distance_bounds._cache_size(), pair_distances._distances._cache_size()
    # Another size within the same tiles, and another k, are no reason to compile again.
    nearest_by_pairs(x[:800] * 2, None, SearchOptions(k=9, metric="cosine", precision="bfloat16"))
    assert (half_distance_bounds._cache_size(), pair_distances._distances._cache_size()) == traced


def test_host_and_device_place_points_alike() -> None:
    x = np.random.default_rng(1).normal(size=(1500, 20)).astype(np.float32) + 3
    for metric in ("cosine", "sqeuclidean"):
        with double_precision():
            host = scale_on_host(x, None, metric=metric)
            here = np.ones(len(x), bool)
            points, _, mean = scale_points(jnp.asarray(x), here, None, None, metric=metric)
            np.testing.assert_array_equal(host.queries.scales, points.scales)
            np.testing.assert_allclose(host.queries.lengths, points.lengths, rtol=1e-15)
            np.testing.assert_allclose(host.mean, mean, rtol=1e-12)


@pytest.mark.parametrize("metric", ["cosine", "sqeuclidean", "euclidean"])
@pytest.mark.parametrize("bytes_of_a_block", [2**26, 20 * 96 * 4])
def test_candidates_are_ranked_by_their_exact_distance(
    metric: Metric, bytes_of_a_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_distances, "_BLOCK_BYTES", bytes_of_a_block)
    rng = np.random.default_rng(2)
    x, base = clouds()["post-ReLU features"], clouds()["views of few images"]
    candidates = np.stack([rng.permutation(96)[:9] for _ in x]).astype(np.int32)
    candidates[::3, 2] = candidates[5] = -1
    with double_precision():
        placed = scale_on_host(x, base, metric=metric)
        found, indices = rank_candidates(
            placed.queries, placed.targets, candidates, k=8, metric=metric
        )
        found = in_units(found, placed.queries, metric=metric)
    expected = np.take_along_axis(all_distances(x, base, metric), np.abs(candidates), axis=1)
    expected = np.where(candidates < 0, np.inf, expected)
    order = np.argsort(expected, axis=1)[:, :8]
    best = np.take_along_axis(expected, order, axis=1)
    np.testing.assert_allclose(found, best, rtol=2.0**-23)
    names = np.take_along_axis(candidates, order, axis=1)
    np.testing.assert_array_equal(indices, np.where(np.isinf(best), NOBODY, names))


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
def test_points_are_handed_over_without_another_copy(dtype: np.dtype) -> None:
    x = np.random.default_rng(4).normal(size=(300, 7)).astype(dtype)
    points = Points(x, np.arange(300.0), np.ones(300))
    buffer = BlockBuffer(points, rows=200)
    chosen = np.array([299, 3, 17])
    with double_precision():
        places = set()
        for start in (0, 200):
            block = buffer.load(start)
            places.add(tuple(part.unsafe_buffer_pointer() for part in block))
            wanted = points.take(slice(start, start + 200))
            for part, expected in zip(block, wanted, strict=True):
                np.testing.assert_array_equal(part[: len(expected)], expected)
                assert not part[len(expected) :].any() and len(part) == 200
        assert len(places) == 1
        subset = take_on_device(points, chosen, rows=4)
    np.testing.assert_array_equal(subset.values, np.pad(x[chosen], ((0, 1), (0, 0))))
    np.testing.assert_array_equal(subset.scales, [299, 3, 17, 0])


@pytest.mark.parametrize("rows", [7, 2048])
@pytest.mark.parametrize("bytes_of_a_block", [2**26, 20 * 96 * 4])
def test_pairs_asked_for_both_ways_round_are_those_measured_twice(
    rows: int, bytes_of_a_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_distances, "_BLOCK_BYTES", bytes_of_a_block)
    monkeypatch.setattr(pair_distances, "_MIRRORED_ROWS", rows)
    rng = np.random.default_rng(5)
    x = clouds()["post-ReLU features"]
    others = [rng.permutation(np.delete(np.arange(len(x)), i))[:30] for i in range(len(x))]
    candidates = np.stack(others).astype(np.int32)
    candidates[::3, 2] = candidates[5] = -1
    results = []
    with double_precision():
        points = scale_on_host(x, None, metric="cosine").queries
        for features in (1, 10**6):
            monkeypatch.setattr(pair_distances, "_MIRRORED_FROM", features)
            results.append(rank_candidates(points, points, candidates, k=20, metric="cosine"))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_bounds_of_a_pair_of_tiles_are_all_that_a_scan_holds() -> None:
    """The compiled scan of a pair needs its two tiles and their scores, and nothing of size n."""
    rows, width = 512, 256

    def centred(x: jax.Array):
        here = np.ones(rows, bool)
        points, _, mean = scale_points(x, here, None, None, metric="cosine")
        return scan_table(points, mean, here, dtype=jnp.bfloat16)

    with double_precision():
        table = jax.eval_shape(centred, jax.ShapeDtypeStruct((rows, width), jnp.float32))
        memory = half_distance_bounds.lower(table, table, 0).compile().memory_analysis()
    scores = 4 * rows * rows
    assert memory.output_size_in_bytes == scores
    assert memory.temp_size_in_bytes <= 2 * scores


def test_threads_of_the_host_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a pair's scores enter lists of their own, so their number does not matter."""
    x = clouds()["views of few images"]
    monkeypatch.setattr(knn_pairs, "_MIN_ROWS", 5)
    monkeypatch.setattr(knn_pairs, "available_cpus", lambda: 7)
    ours = nearest_by_pairs(
        x, None, SearchOptions(k=7, metric="cosine", precision="bfloat16", tile_rows=40)
    )
    np.testing.assert_array_equal(ours.indices, nearest(x, k=7, metric="cosine")[0])


@pytest.mark.parametrize("n", [1, 4095, 12_288, 20_000, 100_000, 1_000_001])
def test_tiles_cover_the_points_and_hardly_more(n: int) -> None:
    rows = good_rows(n)
    assert rows <= 1024
    tiles = -(-n // rows)
    assert (tiles - 1) * rows < n
    if n >= 12_288:
        assert tiles * rows - n < 8 * tiles
    tiles = -(-n // even_rows(n))
    assert (tiles - 1) * even_rows(n) < n <= tiles * even_rows(n) < n + tiles


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_failure_while_entering_is_not_lost(
    precision: ScanPrecision, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(knn_pairs.Shortlists, "offer_columns", fail)
    x = clouds()["post-ReLU features"]
    with pytest.raises(MemoryError, match="no room"):
        nearest_by_pairs(
            x, None, SearchOptions(k=3, metric="cosine", precision=precision, tile_rows=32)
        )
