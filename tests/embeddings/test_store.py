"""The store: what is written is read, what is damaged is found, and nothing else is touched."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.embeddings.manifest import Manifest
from mgm_jax.embeddings.store import ARRAY_FOLDER, COMMIT_FOLDER, EmbeddingStore
from mgm_jax.errors import InputError

MANIFEST = Manifest(
    encoder="e1", source="s1", setting="augs", tap="pool", views=2, rows=22, width=5, chunk_rows=6
)
DTYPES = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16}

both_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def values_of(manifest: Manifest) -> np.ndarray:
    """Some embeddings ``[n, d]`` in float32."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(manifest.rows, manifest.width)).astype(np.float32)


def fill(store: EmbeddingStore, chunks: list[int] | None = None) -> None:
    """Write the given chunks, or all, with :func:`values_of`."""
    values = values_of(store.manifest)
    for chunk in range(store.manifest.chunks) if chunks is None else chunks:
        store.write(chunk, values[store.manifest.chunk_slice(chunk)])


def full_store(folder: Path, dtype: str = "float32") -> EmbeddingStore:
    store = EmbeddingStore.open(folder, replace(MANIFEST, dtype=dtype))
    fill(store)
    return store


def chunk_file(store: EmbeddingStore, chunk: int) -> Path:
    return store.folder / ARRAY_FOLDER / "c" / str(chunk) / "0"


@both_dtypes
def test_rows_come_back_rounded_to_the_dtype(tmp_path: Path, dtype: str):
    store = full_store(tmp_path, dtype)
    expected = values_of(MANIFEST).astype(DTYPES[dtype])
    assert store.dtype == DTYPES[dtype]
    results = EmbeddingStore.open(tmp_path, replace(MANIFEST, dtype=dtype)).read()
    assert results.dtype == DTYPES[dtype]
    np.testing.assert_array_equal(results, expected)
    assert store.complete
    assert not store.failed_rows.any()


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingStore:
    return full_store(tmp_path_factory.mktemp("store"))


@settings(max_examples=40, deadline=None)
@given(
    start=st.none() | st.integers(-30, 30),
    stop=st.none() | st.integers(-30, 30),
)
def test_any_slice_reads_as_numpy_would(
    shared_store: EmbeddingStore, start: int | None, stop: int | None
):
    rows = slice(start, stop)
    np.testing.assert_array_equal(shared_store.read(rows), values_of(MANIFEST)[rows])


def test_slice_with_a_step_is_refused(shared_store: EmbeddingStore):
    with pytest.raises(InputError, match="step 1, got step 2"):
        shared_store.read(slice(0, 10, 2))


@both_dtypes
def test_plain_bytes_of_a_chunk_are_its_rows(tmp_path: Path, dtype: str):
    store = full_store(tmp_path, dtype)
    plain = np.fromfile(chunk_file(store, 1), DTYPES[dtype]).reshape(6, 5)
    np.testing.assert_array_equal(plain, store.read(slice(6, 12)))


def test_missing_names_what_was_not_written(tmp_path: Path):
    store = EmbeddingStore.open(tmp_path, MANIFEST)
    assert store.missing() == [0, 1, 2, 3]
    assert not store.complete
    fill(store, [2, 0])
    assert EmbeddingStore.open(tmp_path).missing() == [1, 3]
    np.testing.assert_array_equal(store.read(slice(12, 18)), values_of(MANIFEST)[12:18])
    with pytest.raises(InputError, match="chunk 1 of 4 is missing or damaged; embed again"):
        store.read()


@both_dtypes
def test_every_damaged_byte_is_found(tmp_path: Path, dtype: str):
    store = full_store(tmp_path, dtype)
    path = chunk_file(store, 1)
    whole = path.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        assert store.missing() == [1]
    with pytest.raises(InputError, match="chunk 1"):
        store.read(slice(11, 12))
    np.testing.assert_array_equal(store.read(slice(12, 14)).shape, (2, 5))
    fill(store, [1])
    assert store.complete
    assert path.read_bytes() == whole


@pytest.mark.parametrize("keep", [0, 1, 60, 119])
def test_cut_chunk_file_is_found_and_redone(tmp_path: Path, keep: int):
    store = full_store(tmp_path)
    path = chunk_file(store, 2)
    whole = path.read_bytes()
    assert len(whole) == 120
    path.write_bytes(whole[:keep])
    assert EmbeddingStore.open(tmp_path, MANIFEST).missing() == [2]
    fill(store, [2])
    assert store.complete
    assert path.read_bytes() == whole


def test_lengthened_lost_and_swapped_chunk_files_are_found(tmp_path: Path):
    store = full_store(tmp_path)
    first, second, third = (chunk_file(store, chunk) for chunk in range(3))
    first.write_bytes(first.read_bytes() * 2)
    second.unlink()
    third.write_bytes(chunk_file(store, 3).read_bytes())
    assert store.missing() == [0, 1, 2]
    fill(store, store.missing())
    assert store.complete


def test_half_written_commit_record_is_found_and_redone(tmp_path: Path):
    store = full_store(tmp_path)
    path = tmp_path / COMMIT_FOLDER / "00000003.json"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert store.missing() == [3]
    fill(store, [3])
    assert path.read_bytes() == whole


def test_chunk_of_another_store_does_not_fit(tmp_path: Path):
    store = full_store(tmp_path / "one")
    other = EmbeddingStore.open(tmp_path / "other", replace(MANIFEST, seed=1))
    other.write(0, values_of(MANIFEST)[:6] * 2)
    chunk_file(store, 0).write_bytes(chunk_file(other, 0).read_bytes())
    record = Path(COMMIT_FOLDER) / "00000000.json"
    (store.folder / record).write_bytes((other.folder / record).read_bytes())
    assert store.missing() == [0]


def test_another_manifest_is_refused_and_changes_nothing(tmp_path: Path):
    store = full_store(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    asked = replace(MANIFEST, tap="cls", seed=9, rows=30)
    with pytest.raises(InputError) as error:
        EmbeddingStore.open(tmp_path, asked)
    for part in ("tap: 'pool' here, 'cls' there", "seed: 0 here, 9 there", "rows: 22 here"):
        assert part in str(error.value)
    assert "encoder" not in str(error.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert store.complete


def test_two_manifests_at_once_leave_one_store(tmp_path: Path):
    def open_with(seed: int) -> int | InputError:
        try:
            return EmbeddingStore.open(tmp_path, replace(MANIFEST, seed=seed)).manifest.seed
        except InputError as error:
            return error

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(open_with, range(6)))
    won = [one for one in results if isinstance(one, int)]
    assert won == [EmbeddingStore.open(tmp_path).manifest.seed]


def test_open_without_creating(tmp_path: Path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match="no store of embeddings here"):
            EmbeddingStore.open(folder, MANIFEST, create=False)
        with pytest.raises(InputError, match="no store of embeddings here"):
            EmbeddingStore.open(folder)
    assert list(tmp_path.iterdir()) == []
    full_store(tmp_path / "made")
    assert EmbeddingStore.open(tmp_path / "made", MANIFEST, create=False).complete


def test_folder_that_is_a_file(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("something else")
    with pytest.raises(InputError, match="no store can be made here"):
        EmbeddingStore.open(path, MANIFEST)
    with pytest.raises(InputError, match="no store of embeddings here"):
        EmbeddingStore.open(path)
    assert path.read_text() == "something else"


@pytest.mark.parametrize("content", [b"{", b"", None])
def test_damaged_array_header_is_named(tmp_path: Path, content: bytes | None):
    full_store(tmp_path)
    header = tmp_path / ARRAY_FOLDER / "zarr.json"
    header.write_bytes(header.read_bytes().replace(b"22", b"23") if content is None else content)
    with pytest.raises(InputError, match="header of the array is missing, damaged or not"):
        EmbeddingStore.open(tmp_path, MANIFEST)


@both_dtypes
def test_failed_rows_are_flagged_and_hold_nan(tmp_path: Path, dtype: str):
    store = EmbeddingStore.open(tmp_path, replace(MANIFEST, dtype=dtype))
    fill(store, [0, 2])
    values = values_of(MANIFEST)[6:12]
    values[3] = np.inf
    store.write(1, values, failed={2: "a.png: cut short", 3: "b.png: empty"})
    again = EmbeddingStore.open(tmp_path)
    assert again.missing() == [3]
    assert again.failures == {8: "a.png: cut short", 9: "b.png: empty"}
    assert np.flatnonzero(again.failed_rows).tolist() == [8, 9]
    results = again.read(slice(6, 12)).astype(np.float32)
    assert np.isnan(results[2:4]).all()
    assert np.isfinite(results[[0, 1, 4, 5]]).all()


def test_changed_list_of_failed_rows_is_found(tmp_path: Path):
    store = full_store(tmp_path)
    store.write(0, values_of(MANIFEST)[:6], failed={1: "no image"})
    path = tmp_path / COMMIT_FOLDER / "00000000.json"
    assert store.failures == {1: "no image"}
    path.write_text(path.read_text().replace("[1,", "[900,"))
    assert store.missing() == [0]
    assert store.failures == {}
    assert not store.failed_rows.any()


@pytest.mark.parametrize("constant", [0.0, np.nan])
def test_chunk_of_one_value_counts_as_written(tmp_path: Path, constant: float):
    # Chunks equal to the fill value (NaN) leave no file behind.
    store = EmbeddingStore.open(tmp_path, MANIFEST)
    failed = dict.fromkeys(range(6), "no image") if np.isnan(constant) else {}
    store.write(0, np.full((6, 5), constant), failed=failed)
    assert store.missing() == [1, 2, 3]


def test_wrong_chunks_are_refused_and_nothing_is_written(tmp_path: Path):
    store = EmbeddingStore.open(tmp_path, MANIFEST)
    good = np.zeros((6, 5))
    bad = good.copy()
    bad[4, 1] = np.nan
    with pytest.raises(InputError, match=r"chunk 0 must have shape \(6, 5\), got \(6, 4\)"):
        store.write(0, good[:, :4])
    with pytest.raises(InputError, match=r"chunk 3 must have shape \(4, 5\)"):
        store.write(3, good)
    with pytest.raises(InputError, match=r"chunk must be in 0 \.\. 3, got 4"):
        store.write(4, good)
    with pytest.raises(InputError, match="rows 10 hold NaN or Inf"):
        store.write(1, bad)
    with pytest.raises(InputError, match=r"failed rows must be in 0 \.\. 5 of chunk 0, got 6"):
        store.write(0, good, failed={6: "outside"})
    assert store.missing() == [0, 1, 2, 3]
    assert not (tmp_path / ARRAY_FOLDER / "c").exists()


def test_value_too_large_for_bfloat16_is_refused(tmp_path: Path):
    store = EmbeddingStore.open(tmp_path, replace(MANIFEST, dtype="bfloat16"))
    values = np.zeros((6, 5), np.float32)
    values[5, 0] = np.finfo(np.float32).max
    with pytest.raises(InputError, match="rows 5 hold NaN or Inf in bfloat16"):
        store.write(0, values)


def test_values_handed_in_are_left_as_they_are(tmp_path: Path):
    store = EmbeddingStore.open(tmp_path, MANIFEST)
    values = np.ones((6, 5), np.float32)
    store.write(0, values, failed={0: "no image"})
    np.testing.assert_array_equal(values, 1)


def test_many_readers_beside_a_writer(tmp_path: Path):
    store = full_store(tmp_path)
    expected = values_of(MANIFEST)

    def rewrite() -> None:
        for _ in range(10):
            fill(store)

    with ThreadPoolExecutor(4) as pool:
        writing = pool.submit(rewrite)
        while not writing.done():
            for results in pool.map(lambda _: EmbeddingStore.open(tmp_path).read(), range(3)):
                np.testing.assert_array_equal(results, expected)
        writing.result()


def test_one_chunk_larger_than_the_rows(tmp_path: Path):
    manifest = replace(MANIFEST, chunk_rows=600)
    store = EmbeddingStore.open(tmp_path, manifest)
    fill(store)
    assert chunk_file(store, 0).stat().st_size == 22 * 5 * 4
    np.testing.assert_array_equal(store.read(), values_of(MANIFEST))
