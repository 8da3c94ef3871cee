"""Rows of unfinished chunks: a run that goes on computes only what is left, to the same bits."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mgm_jax.embeddings.embed import embed
from mgm_jax.embeddings.parts import Part, read_part, write_part
from mgm_jax.embeddings.store import PART_FOLDER, EmbeddingStore

from .fakes import FakeEncoder, FakeSource
from .test_embed import COUNT, PLAN, content_of, open_store

pytestmark = pytest.mark.usefixtures("counted")

#: Images 8, views 3, chunks of 3 images; batches of one image, in two parts where 2 views fit.
BATCHES = {3: 8, 2: 16}


@dataclass
class Stopping(FakeEncoder):
    """An encoder during whose n-th batch somebody presses Ctrl-C."""

    stop_at: int = 0

    def features(self, views, *, taps):
        if self.calls + 1 == self.stop_at:
            raise KeyboardInterrupt
        return super().features(views, taps=taps)


def fill(folder: Path, *encoders: FakeEncoder, source: FakeSource | None = None, **options):
    """Embed with every encoder into a store of its own; the stores, and the report or None."""
    dtype = options.pop("dtype", "float32")
    stores = [open_store(folder / one.name, one, dtype=dtype) for one in encoders]
    options = {"batch_views": 3, "save_every": 0} | options
    try:
        return stores, embed(encoders, source or FakeSource(COUNT), PLAN, stores, **options)
    except KeyboardInterrupt:
        return stores, None


def kept(store: EmbeddingStore) -> list[Path]:
    return sorted((store.folder / PART_FOLDER).glob("*"))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("batch_views", BATCHES)
def test_a_run_goes_on_from_the_last_batch(tmp_path: Path, batch_views: int, dtype: str):
    options = {"batch_views": batch_views, "dtype": dtype}
    [whole], _ = fill(tmp_path / "whole", FakeEncoder(), **options)
    for stop in range(1, BATCHES[batch_views] + 1):
        [store], _ = fill(tmp_path / str(stop), Stopping(stop_at=stop), **options)
        # The batch before the one that is stopped was started and not fetched.
        fetched = max(0, stop - 2)
        missing = sum(
            rows.stop - rows.start for rows in map(store.manifest.chunk_slice, store.missing())
        )
        again = FakeEncoder()
        [store], report = fill(tmp_path / str(stop), again, **options)
        assert again.calls == BATCHES[batch_views] - fetched
        assert report is not None and report.rows_done <= missing
        assert report.rows_done + report.rows_skipped == 24
        assert content_of(store) == content_of(whole) and not kept(store)


def test_nothing_is_kept_of_a_chunk_that_takes_less_than_was_said(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(EmbeddingStore, "save_part", lambda *arguments: pytest.fail("was kept"))
    [store], _ = fill(tmp_path, FakeEncoder(), save_every=3600)
    assert store.complete


def test_a_signal_keeps_what_is_finished_of_a_chunk(tmp_path: Path):
    [store], _ = fill(tmp_path, Stopping(stop_at=6), save_every=3600)
    assert store.missing() == [1, 2]
    assert [path.name for path in kept(store)] == ["00000001.part"]


def test_encoders_that_got_differently_far_go_on_each_from_there(tmp_path: Path):
    expected, _ = fill(tmp_path / "whole", FakeEncoder(), FakeEncoder(seed=1))
    for stop in range(1, 9):
        first, second = FakeEncoder(), Stopping(seed=1, stop_at=stop)
        fill(tmp_path / str(stop), first, second)
        first, second, source = FakeEncoder(), FakeEncoder(seed=1), FakeSource(COUNT)
        stores, _ = fill(tmp_path / str(stop), first, second, source=source)
        assert first.calls <= second.calls == 8 - max(0, stop - 2)
        # Images are decoded for the batches that some encoder lacks.
        assert len(source.decoded) == second.calls
        for store, whole in zip(stores, expected, strict=True):
            assert content_of(store) == content_of(whole)


def _flip(content: bytes) -> bytes:
    return content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]


def _said(**changes: object) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        head, _, values = content.partition(b"\n")
        return json.dumps(json.loads(head) | changes).encode() + b"\n" + values

    return change


@pytest.mark.parametrize(
    "harm",
    [
        _flip,
        lambda content: content[:-4],
        lambda content: content + content[-28:],
        lambda content: b"",
        lambda content: b"{}\n",
        _said(rows=[0, 1, 2, 3, 4, 99]),
        _said(rows=[2, 1, 0, 3, 4, 5]),
        _said(rows=[0, 0, 0, 0, 0, 0]),
        _said(rows=[3, 4, 5, 6, 7, 8]),
        _said(rows="all"),
        _said(sha256="0"),
    ],
)
def test_a_damaged_part_is_none(tmp_path: Path, harm: Callable[[bytes], bytes]):
    [whole], _ = fill(tmp_path / "whole", FakeEncoder())
    [store], _ = fill(tmp_path / "out", Stopping(stop_at=4))
    [part] = kept(store)
    assert json.loads(part.read_bytes().partition(b"\n")[0])["rows"] == [0, 1, 2, 3, 4, 5]
    part.write_bytes(harm(part.read_bytes()))
    again = FakeEncoder()
    [store], _ = fill(tmp_path / "out", again)
    assert again.calls == 8 and content_of(store) == content_of(whole)


def test_a_part_of_another_store_or_chunk_is_none(tmp_path: Path):
    part = Part(rows=np.array([1, 4]), values=np.ones((2, 3), np.float32))
    write_part(tmp_path, 7, part, manifest="m")
    facts = {"manifest": "m", "shape": (9, 3), "dtype": np.dtype(np.float32)}
    result = read_part(tmp_path, 7, **facts)
    assert result is not None
    np.testing.assert_array_equal(result.rows, part.rows)
    np.testing.assert_array_equal(result.values, part.values)
    (tmp_path / "00000007.part").rename(tmp_path / "00000008.part")
    assert read_part(tmp_path, 8, **facts) is None
    (tmp_path / "00000008.part").rename(tmp_path / "00000007.part")
    for other in ({"manifest": "n"}, {"shape": (9, 6)}, {"shape": (4, 3)}):
        assert read_part(tmp_path, 7, **facts | other) is None


def test_a_part_that_lacks_only_its_commit_is_committed(tmp_path: Path):
    [whole], _ = fill(tmp_path / "whole", FakeEncoder())
    encoder = FakeEncoder()
    store = open_store(tmp_path / encoder.name, encoder)
    for chunk in range(3):
        values = whole.read(whole.manifest.chunk_slice(chunk))
        store.save_part(chunk, Part(rows=np.arange(len(values)), values=values))
    assert store.missing() == [0, 1, 2]
    [store], report = fill(tmp_path, encoder)
    assert encoder.calls == 0 and report is not None and report.rows_done == 0
    assert content_of(store) == content_of(whole) and not kept(store)


def test_images_that_could_not_be_read_are_tried_again(tmp_path: Path):
    broken = FakeSource(COUNT, broken=frozenset({7}))
    fill(tmp_path / "out", Stopping(stop_at=4), source=broken, on_error="skip")
    [whole], _ = fill(tmp_path / "whole", FakeEncoder())
    again = FakeEncoder()
    [store], report = fill(tmp_path / "out", again, on_error="skip")
    # The first image is 7; of the two batches that were fetched its own is done again.
    assert again.calls == 7 and report is not None and not report.failures
    assert content_of(store) == content_of(whole)


def test_an_image_that_vanished_costs_no_encoder_what_it_has(tmp_path: Path):
    first = [FakeEncoder(), Stopping(seed=1, stop_at=3)]
    fill(tmp_path, *first)
    vanished = FakeSource(COUNT, broken=frozenset({0}))
    stores, _ = fill(tmp_path, FakeEncoder(), FakeEncoder(seed=1), source=vanished, on_error="skip")
    [ahead, behind] = [set(store.failures) for store in stores]
    assert ahead <= behind == {3, 4, 5}
    assert np.isfinite(stores[0].read()[sorted(behind - ahead)]).all()


def test_parts_of_finished_chunks_are_removed(tmp_path: Path):
    [store], _ = fill(tmp_path, FakeEncoder())
    store.save_part(1, Part(rows=np.arange(2), values=np.ones((2, 7), np.float32)))
    [store], _ = fill(tmp_path, FakeEncoder())
    assert not kept(store)
