"""Probes of features that are read block by block: the answers of features in memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mgm_jax.errors import InputError
from mgm_jax.probe.features import Features
from mgm_jax.probe.linear import linear_probe
from mgm_jax.probe.logistic.path import solve_path
from mgm_jax.probe.logistic.problem import prepare
from mgm_jax.probe.logistic.read import ReadRows
from mgm_jax.probe.logistic.stack import begin
from mgm_jax.probe.ridge import ridge_probe
from tests.probe.stores import Counting, write_map, write_store
from tests.probe.test_linear import blobs, objective


def sets(n: int, d: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [blobs(size, d, apart=0.6, seed=s) for s, size in enumerate((n, 151, 200))]


@pytest.mark.parametrize(("n", "d"), [(403, 12), (61, 90)])
def test_linear_probe_of_a_store_is_that_of_its_rows(n: int, d: int, tmp_path: Path) -> None:
    parts = sets(n, d)
    held = linear_probe(*parts, l2_penalties=6)
    stores = [(write_store(tmp_path / str(i), x), y) for i, (x, y) in enumerate(parts)]
    read = linear_probe(*stores, l2_penalties=6, memory_limit=0, block_rows=50)
    assert read.l2_penalty == held.l2_penalty and read.score == held.score
    assert read.converged.all() and held.converged.all()
    np.testing.assert_allclose(read.objective, held.objective, rtol=1e-5)
    np.testing.assert_array_equal(read.validation, held.validation)
    x = parts[2][0]
    answers = read.logits(x).argmax(axis=1)
    np.testing.assert_array_equal(answers, held.logits(x).argmax(axis=1))
    np.testing.assert_allclose(read.logits(stores[2][0]), read.logits(x), atol=1e-5)
    # A store that fits into memory is what its rows are.
    again = linear_probe(*stores, l2_penalties=6)
    np.testing.assert_array_equal(again.weights, held.weights)


@pytest.mark.parametrize("block_rows", [3, 64, 5000])
def test_the_size_of_a_block_moves_no_objective(block_rows: int) -> None:
    x, labels = blobs(130)
    l2_penalties = np.array([0.1, 10.0])
    options = {"tolerance": 1e-7}
    held = solve_path(prepare(x, labels, classes=4), l2_penalties, **options)
    read = solve_path(prepare(x, labels, classes=4, block_rows=block_rows), l2_penalties, **options)
    np.testing.assert_allclose(read.objective, held.objective, rtol=1e-6)
    for i, penalty in enumerate(l2_penalties):
        exact = objective(x, labels, read.weights[i], read.intercepts[i], penalty)
        assert read.objective[i] == pytest.approx(exact, rel=1e-6)


def test_a_fifth_is_held_out_and_labels_may_be_several() -> None:
    x, y = blobs(300, apart=1.0)
    several = np.stack([y == 0, (y == 1) | (y == 3), x[:, 0] > 0.7], axis=1).astype(int)
    train, test = (x[:220], several[:220]), (x[220:], several[220:])
    options = {"l2_penalties": [0.3, 30.0], "measure": "map11"}
    held = linear_probe(train, None, test, **options)
    read = linear_probe(train, None, test, **options, memory_limit=0, block_rows=32)
    np.testing.assert_allclose(read.objective, held.objective, rtol=1e-5)
    assert read.score == pytest.approx(held.score, abs=1e-9)
    assert read.l2_penalty == held.l2_penalty


def test_sums_over_blocks_keep_what_float32_rounds_off() -> None:
    # One loss of 1e8 and a thousand of log 2: each alone is below the rounding of the sum.
    x = np.zeros((1001, 1), np.float32)
    x[0] = 1e8
    rows = ReadRows(
        Features.of(x),
        np.r_[1, np.zeros(1000, int)],
        mean=np.zeros(1),
        basis=np.ones((1, 1), np.float32),
        block_rows=1,
    )
    point = np.array([[[1.0, 0.0], [0.0, 0.0]]], np.float32)
    state = rows.advance(
        begin(point, np.ones(1, np.float32)),
        np.ones((1, 2), np.float32),
        np.zeros((1, 2), np.float32),
        rank=1,
    )
    assert float(state.value[0]) == pytest.approx(1e8 + 1000 * np.log(2), abs=8)


def many_rows() -> tuple[np.ndarray, np.ndarray]:
    """Features ``[12000, 96]`` of two classes, and these."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 12_000)
    return rng.normal(size=(labels.size, 96)).astype(np.float32) + labels[:, None], labels


def test_the_device_holds_a_few_blocks() -> None:
    (x, labels), block_rows = many_rows(), 512
    readers = [Counting(x), Counting(x[:600]), Counting(x[600:1200])]
    parts = [(reader, labels[: len(reader.x)]) for reader in readers]
    linear_probe(*parts, l2_penalties=[1000.0], memory_limit=0, block_rows=block_rows)
    ridge_probe(parts[0], None, parts[2], l2_penalties=3, memory_limit=0, block_rows=block_rows)
    assert max(reader.most_rows for reader in readers) == block_rows
    assert readers[0].rows_read % len(x) == 0 and readers[0].rows_read >= 5 * len(x)
    block = 4 * block_rows * x.shape[1]
    assert readers[0].most_on_device < 4 * block + 2**19 < x.nbytes / 3


@pytest.mark.nightly
def test_the_host_holds_a_few_blocks(tmp_path: Path) -> None:
    (x, labels), block_rows = many_rows(), 512
    n, whole, block = len(x), x.nbytes, 4 * block_rows * x.shape[1]
    mapped = write_map(tmp_path / "x", x)
    del x
    parts = [(mapped[rows], labels[rows]) for rows in (slice(600), slice(600, 1200))]
    options = {"l2_penalties": [10.0], "memory_limit": 0, "block_rows": block_rows}
    # What is traced and compiled once is not counted.
    linear_probe((mapped, labels), *parts, **options)
    tracemalloc.start()
    linear_probe((mapped, labels), *parts, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Codes and labels of all rows, blocks on the way, float64 copies of one, and what JAX traces.
    assert peak < 24 * n + 8 * block + 2**21 < whole


@pytest.mark.parametrize(("n", "d"), [(90, 8), (24, 40)])
@pytest.mark.parametrize("validated", [True, False])
def test_ridge_probe_of_a_store_is_that_of_its_rows(
    n: int, d: int, validated: bool, tmp_path: Path
) -> None:
    parts = sets(n, d)
    stores = [(write_store(tmp_path / str(i), x), y) for i, (x, y) in enumerate(parts)]
    results = [
        ridge_probe(three[0], three[1] if validated else None, three[2], l2_penalties=9, **options)
        for three, options in ((parts, {}), (stores, {"memory_limit": 0, "block_rows": 10}))
    ]
    held, read = results
    assert read.l2_penalty == held.l2_penalty and read.score == held.score
    np.testing.assert_allclose(read.validation, held.validation)
    np.testing.assert_allclose(read.weights, held.weights, atol=1e-10)
    np.testing.assert_allclose(read.intercepts, held.intercepts, atol=1e-9)


def test_a_damaged_store_is_named_and_nothing_is_answered(tmp_path: Path) -> None:
    parts = sets(64, 6)
    store = write_store(tmp_path / "train", parts[0][0])
    (chunk,) = (tmp_path / "train" / "embeddings.zarr").glob("c/1/*")
    chunk.write_bytes(chunk.read_bytes()[:-4] + b"\0\0\0\0")
    for probe in (linear_probe, ridge_probe):
        for limit in (0, 2**31):
            with pytest.raises(InputError, match="chunk 1 of 4 is missing or damaged"):
                probe((store, parts[0][1]), *parts[1:], l2_penalties=2, memory_limit=limit)
    with pytest.raises(InputError, match="memory_limit must be a whole number"):
        linear_probe(*parts, memory_limit=0.5)
    with pytest.raises(InputError, match="block_rows must be a whole number of at least 1"):
        ridge_probe(*parts, memory_limit=0, block_rows=0)
