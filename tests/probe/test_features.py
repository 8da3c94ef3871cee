"""Rows of features, chosen, joined and read in blocks, against the same with one array."""

from __future__ import annotations

import threading
from pathlib import Path

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.errors import InputError
from mgm_jax.probe.features import Features, block_rows_for
from tests.probe.stores import Counting, write_map, write_store

X = np.random.default_rng(0).normal(size=(45, 3)).astype(np.float32)


def read(features: Features, rows: int | None) -> np.ndarray:
    """All rows through blocks, whose places must follow each other."""
    result, at = [], 0
    for position, block in features.blocks(rows):
        assert position.start == at and position.stop - position.start == len(block)
        assert block.dtype == np.float32
        result.append(block)
        at = position.stop
    assert at == features.shape[0]
    return np.concatenate(result)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_chosen_and_joined_rows_are_those_of_an_array(data: st.DataObject) -> None:
    features, expected = Features.of(X), X
    for source in data.draw(st.lists(st.sampled_from(["array", "reader", "sliced"]), max_size=3)):
        made = {"array": X, "reader": Counting(X), "sliced": jnp.asarray(X)}[source]
        features, expected = features.join(Features.of(made)), np.concatenate([expected, X])
        rows = data.draw(st.lists(st.integers(0, len(expected) - 1), min_size=1, max_size=80))
        features, expected = features.take(np.array(rows)), expected[rows]
    assert features.shape == expected.shape
    np.testing.assert_array_equal(features.whole(), expected)
    size = data.draw(st.integers(1, 50))
    np.testing.assert_array_equal(read(features, size), expected)
    mask = np.arange(len(expected)) % 2 == 0
    np.testing.assert_array_equal(read(features.take(mask), size), expected[mask])


def test_every_container_gives_its_rows(tmp_path: Path) -> None:
    half = X.astype(ml_dtypes.bfloat16)
    for made, expected in (
        (X, X),
        (X.astype(np.float64), X),
        (X.tolist(), X),
        (pd.DataFrame(X), X),
        (jnp.asarray(X), X),
        (Counting(X), X),
        (write_map(tmp_path / "map", X), X),
        (write_store(tmp_path / "store", X), X),
        (write_store(tmp_path / "half", half), half.astype(np.float32)),
        ((100 * X).astype(np.int16), np.trunc(100 * X)),
    ):
        features = Features.of(made)
        np.testing.assert_array_equal(features.whole(), expected)
        np.testing.assert_array_equal(read(features, 7), expected)
        subset = features.take(np.array([40, 2, 3, 40]))
        np.testing.assert_array_equal(read(subset, 3), expected[[40, 2, 3, 40]])


def test_scattered_rows_are_read_in_short_pieces() -> None:
    reader = Counting(np.zeros((100_000, 1), np.float32))
    Features.of(reader).take(np.array([3, 50_000, 50_010, 99_999])).whole()
    assert reader.rows_read == 1 + 11 + 1


def test_the_next_block_is_read_while_one_is_worked_on() -> None:
    reached = threading.Event()

    class Slow(Counting):
        def read(self, rows: slice) -> np.ndarray:
            if rows.start == 10:
                reached.set()
            return super().read(rows)

    blocks = Features.of(Slow(X)).blocks(10)
    next(blocks)
    assert reached.wait(10)
    # Work that ends early leaves no thread behind.
    blocks.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("mgm-jax-read")]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    short = Counting(X)
    short.shape = (60, 3)
    with pytest.raises(InputError, match=r"f: rows 40 to 59 must have shape \(20, 3\).*cut short"):
        read(Features.of(short, name="f"), 20)

    class Broken(Counting):
        def read(self, rows: slice) -> np.ndarray:
            raise OSError("input/output error")

    with pytest.raises(InputError, match=r"f: rows 0 to 6 cannot be read \(input/output error\)"):
        read(Features.of(Broken(X), name="f"), 7)
    store = write_store(tmp_path / "store", X)
    (chunk,) = (tmp_path / "store" / "embeddings.zarr").glob("c/2/*")
    chunk.write_bytes(chunk.read_bytes()[:-8])
    with pytest.raises(InputError, match="chunk 2 of 3 is missing or damaged"):
        read(Features.of(store), 10)
    bad = X.copy()
    bad[[5, 44]] = np.nan
    store = write_store(tmp_path / "failed", bad)
    with pytest.raises(InputError, match=r"f must have finite values.*rows 5 of 45"):
        read(Features.of(store, name="f"), 20)
    with pytest.raises(InputError, match=r"rows 44 of 45"):
        read(Features.of(store).take(np.arange(6, 45)), 20)
    assert len(read(Features.of(store).take(~store.failed_rows), 20)) == 43
    far = 1e9 + np.arange(90.0).reshape(30, 3)
    with pytest.raises(InputError, match=r"rows 0 to 19, holds float64 values"):
        read(Features.of(far, name="f"), 20)
    for wrong in (np.zeros(3), np.zeros((0, 3)), np.zeros((3, 0))):
        with pytest.raises(InputError, match="two axes, rows by features"):
            Features.of(wrong)
    for wrong in ([45], [-1], np.ones(44, bool), [[1, 2]]):
        with pytest.raises(InputError, match="places from 0 to 44, or a mask of 45"):
            Features.of(X).take(np.array(wrong))
    with pytest.raises(InputError, match="must have 3 columns"):
        Features.of(X).join(Features.of(X[:, :2]))
    with pytest.raises(InputError, match="real numbers"):
        read(Features.of(np.ones((9, 2), complex)), 3)


def test_blocks_are_of_about_64_mebibytes() -> None:
    for width in (1, 64, 2048, 30_000, 2**25):
        rows = block_rows_for(width)
        assert rows == 1 or 2**25 <= 4 * rows * width <= 2**26
