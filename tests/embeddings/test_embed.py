"""Embedding: right rows, no work done twice, the same bits after any interruption."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from mgm_jax.embeddings.embed import embed
from mgm_jax.embeddings.plan import ViewPlan, manifest_for
from mgm_jax.embeddings.store import ARRAY_FOLDER, COMMIT_FOLDER, EmbeddingStore
from mgm_jax.errors import InputError
from mgm_jax.images.settings import SETTINGS
from mgm_jax.images.views import image_key, make_views
from mgm_jax.progress import Bar

from . import fakes
from .fakes import FakeEncoder, FakeSource

pytestmark = pytest.mark.usefixtures("counted")

COUNT = 8
PLAN = ViewPlan(
    indices=(7, 0, 3, 1, 2, 4, 6, 5),
    setting=SETTINGS["translation"],
    views=3,
    seed=5,
    chunk_images=3,
)


def open_store(folder: Path, encoder: FakeEncoder, plan: ViewPlan = PLAN, **options):
    return EmbeddingStore.open(folder, manifest_for(encoder, FakeSource(COUNT), plan, **options))


def content_of(store: EmbeddingStore) -> dict[str, bytes]:
    """Every file of the store."""
    return {
        str(path.relative_to(store.folder)): path.read_bytes()
        for path in store.folder.rglob("*")
        if path.is_file()
    }


def damage(store: EmbeddingStore, chunk: int) -> None:
    path = store.folder / ARRAY_FOLDER / "c" / str(chunk) / "0"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("batch_views", [2, 6, 256])
def test_each_row_is_the_feature_of_its_view(tmp_path: Path, batch_views: int):
    encoder, source = FakeEncoder(), FakeSource(COUNT)
    store = open_store(tmp_path, encoder)
    report = embed([encoder], source, PLAN, [store], batch_views=batch_views)
    assert (report.rows_done, report.rows_skipped, report.failures) == (24, 0, ())
    assert store.complete
    canvases = np.stack([source.canvas(index, 8) for index in PLAN.indices])
    keys = [image_key(source.ids[index]) for index in PLAN.indices]
    views = make_views(canvases, keys, range(3), setting="translation", seed=5, size=6)
    expected = encoder.features(views.reshape(24, 6, 6, 3), taps=("wide",))["wide"]
    np.testing.assert_allclose(store.read(), expected, rtol=1e-5, atol=1e-5)


def test_bfloat16_store_holds_the_rounded_features(tmp_path: Path):
    encoder = FakeEncoder()
    full = open_store(tmp_path / "full", encoder)
    short = open_store(tmp_path / "short", encoder, dtype="bfloat16")
    embed([encoder, encoder], FakeSource(COUNT), PLAN, [full, short])
    assert short.read().dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(short.read(), full.read().astype(ml_dtypes.bfloat16))


def test_all_chunks_share_one_compilation(tmp_path: Path):
    encoder = FakeEncoder(size=5)
    fakes.TRACES.clear()
    store = open_store(tmp_path, encoder)
    embed([encoder], FakeSource(COUNT), PLAN, [store], batch_views=6)
    assert encoder.calls == 5
    assert fakes.TRACES == [(6, 5, 5, 3)]


def test_two_taps_of_an_encoder_take_one_pass(tmp_path: Path):
    encoder = FakeEncoder()
    wide = open_store(tmp_path / "wide", encoder)
    colour = open_store(tmp_path / "colour", encoder, tap="colour")
    embed([encoder, encoder], FakeSource(COUNT), PLAN, [wide, colour])
    assert encoder.calls == 3
    assert wide.read().shape == (24, 7)
    assert colour.read().shape == (24, 3)
    assert ((colour.read() >= 0) & (colour.read() <= 1)).all()


def test_encoders_of_one_input_share_their_views(tmp_path: Path, counted):
    encoders = [FakeEncoder(), FakeEncoder(seed=1), FakeEncoder(seed=2, resize=7)]
    stores = [open_store(tmp_path / one.name, one) for one in encoders]
    source = FakeSource(COUNT)
    embed(encoders, source, PLAN, stores)
    # Three chunks for each of the two kinds of input, the last one filled up by one image.
    assert counted.views == 6
    assert len(source.decoded) == 2 * 9
    for encoder, store in zip(encoders, stores, strict=True):
        alone = open_store(tmp_path / f"{encoder.name}-alone", encoder)
        embed([encoder], FakeSource(COUNT), PLAN, [alone])
        np.testing.assert_array_equal(store.read(), alone.read())


def test_second_call_computes_nothing(tmp_path: Path):
    encoder = FakeEncoder()
    store = open_store(tmp_path, encoder)
    embed([encoder], FakeSource(COUNT), PLAN, [store])
    before = content_of(store)
    source, again = FakeSource(COUNT), FakeEncoder()
    report = embed([again], source, PLAN, [store])
    assert (report.rows_done, report.rows_skipped) == (0, 24)
    assert (again.calls, source.decoded) == (0, [])
    assert content_of(store) == before


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("stop_at", [0, 4, 6, 8])
def test_interrupted_and_resumed_is_bit_identical(tmp_path: Path, stop_at: int, dtype):
    encoders = [FakeEncoder(), FakeEncoder(seed=1)]
    whole = [open_store(tmp_path / "whole" / one.name, one, dtype=dtype) for one in encoders]
    embed(encoders, FakeSource(COUNT), PLAN, whole, batch_views=6)
    stopped = [open_store(tmp_path / "stopped" / one.name, one, dtype=dtype) for one in encoders]
    with pytest.raises(KeyboardInterrupt):
        embed(encoders, FakeSource(COUNT, stop_at=stop_at), PLAN, stopped, batch_views=6)
    left = stopped[0].missing()
    assert 0 < len(left) <= 3
    report = embed(encoders, FakeSource(COUNT), PLAN, stopped, batch_views=6)
    # Of a chunk that was not finished the batches that were are kept.
    assert 0 < report.rows_done <= 2 * sum(len(PLAN.chunk_indices(chunk)) * 3 for chunk in left)
    assert report.rows_done + report.rows_skipped == 2 * PLAN.rows
    assert [content_of(store) for store in stopped] == [content_of(store) for store in whole]


def test_only_what_is_damaged_is_redone(tmp_path: Path):
    encoders = [FakeEncoder(), FakeEncoder(seed=1)]
    stores = [open_store(tmp_path / one.name, one) for one in encoders]
    embed(encoders, FakeSource(COUNT), PLAN, stores)
    before = [content_of(store) for store in stores]
    damage(stores[0], 1)
    (stores[0].folder / COMMIT_FOLDER / "00000002.json").write_text('{"chunk": 2, "sha')
    damage(stores[1], 2)
    again, source = [FakeEncoder(), FakeEncoder(seed=1)], FakeSource(COUNT)
    report = embed(again, source, PLAN, stores)
    assert report.rows_done == 9 + 6 + 6
    assert [encoder.calls for encoder in again] == [2, 1]
    assert set(source.decoded) == {1, 2, 4, 6, 5}
    assert [content_of(store) for store in stores] == before


def test_one_damaged_tap_gives_the_same_bits_again(tmp_path: Path):
    encoder = FakeEncoder()
    stores = [open_store(tmp_path / tap, encoder, tap=tap) for tap in ("wide", "colour")]
    embed([encoder, encoder], FakeSource(COUNT), PLAN, stores)
    before = [content_of(store) for store in stores]
    damage(stores[1], 0)
    fakes.TRACES.clear()
    embed([encoder, encoder], FakeSource(COUNT), PLAN, stores)
    assert [content_of(store) for store in stores] == before
    assert fakes.TRACES == [], "another program was compiled"


def test_unreadable_images_are_skipped_and_named(tmp_path: Path):
    encoder = FakeEncoder()
    store = open_store(tmp_path, encoder)
    broken = frozenset({3, 5})
    report = embed([encoder], FakeSource(COUNT, broken=broken), PLAN, [store], on_error="skip")
    named = (
        ("class/3.png", "class/3.png: cut short"),
        ("class/5.png", "class/5.png: cut short"),
    )
    assert report.failures == named
    failed = np.repeat([index in broken for index in PLAN.indices], 3)
    np.testing.assert_array_equal(store.failed_rows, failed)
    np.testing.assert_array_equal(np.isnan(store.read()).all(axis=1), failed)
    whole = open_store(tmp_path / "whole", encoder)
    embed([encoder], FakeSource(COUNT), PLAN, [whole])
    np.testing.assert_array_equal(store.read()[~failed], whole.read()[~failed])
    # A later call has nothing to do but still names them.
    again = embed([encoder], FakeSource(COUNT, broken=broken), PLAN, [store], on_error="skip")
    assert (again.rows_done, again.failures) == (0, named)


def test_unreadable_image_raises_also_after_it_was_skipped(tmp_path: Path):
    encoder = FakeEncoder()
    store = open_store(tmp_path, encoder)
    broken = FakeSource(COUNT, broken=frozenset({3}))
    with pytest.raises(InputError, match=r"class/3\.png: cut short"):
        embed([encoder], broken, PLAN, [store])
    assert store.missing() == [0, 1, 2]
    embed([encoder], broken, PLAN, [store], on_error="skip")
    with pytest.raises(InputError, match=r"class/3\.png: cut short"):
        embed([encoder], broken, PLAN, [store])
    # The image has become readable: its chunk alone is computed again.
    report = embed([encoder], FakeSource(COUNT), PLAN, [store])
    assert (report.rows_done, report.failures) == (9, ())
    assert not store.failed_rows.any()


def test_features_that_are_not_finite(tmp_path: Path):
    # Some features pass the largest float32, 3.4e38; the mean colour is not touched.
    encoder = FakeEncoder(scale=5e37)
    stores = [open_store(tmp_path / tap, encoder, tap=tap) for tap in ("wide", "colour")]
    encoders, source = [encoder, encoder], FakeSource(COUNT)
    with pytest.raises(InputError, match=r"fake0 gives NaN or Inf at wide \(float32\) for rows \d"):
        embed(encoders, source, PLAN, stores)
    report = embed(encoders, source, PLAN, stores, on_error="skip")
    bad = stores[0].failed_rows
    assert 0 < bad.sum() < PLAN.rows
    assert np.isfinite(stores[0].read()[~bad]).all()
    assert not stores[1].failed_rows.any()
    hit = [f"class/{PLAN.indices[row // 3]}.png" for row in np.flatnonzero(bad).tolist()]
    assert [one for one, _ in report.failures] == list(dict.fromkeys(hit))


def test_stores_of_other_embeddings_are_refused(tmp_path: Path):
    encoder = FakeEncoder()
    store = open_store(tmp_path, encoder)
    with pytest.raises(InputError, match="is not for fake1 and this plan: encoder: '0-6"):
        embed([FakeEncoder(seed=1)], FakeSource(COUNT), PLAN, [store])
    with pytest.raises(InputError, match="seed: 5 here, 6 there"):
        embed([encoder], FakeSource(COUNT), replace(PLAN, seed=6), [store])
    with pytest.raises(InputError, match="source:"):
        embed([encoder], FakeSource(COUNT), replace(PLAN, indices=range(COUNT)), [store])
    assert encoder.calls == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_views": 0}, "batch_views must be 1 or more, got 0"),
        ({"on_error": "ignore"}, "on_error must be 'raise' or 'skip', got 'ignore'"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: dict, message: str):
    encoder = FakeEncoder()
    with pytest.raises(InputError, match=message):
        embed([encoder], FakeSource(COUNT), PLAN, [open_store(tmp_path, encoder)], **options)


def test_one_store_per_encoder(tmp_path: Path):
    encoder = FakeEncoder()
    with pytest.raises(InputError, match="got 2 encoders and 1 stores"):
        embed([encoder, encoder], FakeSource(COUNT), PLAN, [open_store(tmp_path, encoder)])


def test_taps_must_be_those_of_the_stores(tmp_path: Path):
    encoder = FakeEncoder()
    stores = [open_store(tmp_path / tap, encoder, tap=tap) for tap in ("wide", "colour")]
    encoders, source = [encoder, encoder], FakeSource(COUNT)
    with pytest.raises(InputError, match="tap: 'wide' here, 'colour' there"):
        embed(encoders, source, PLAN, stores, taps=["colour", "wide"])
    with pytest.raises(InputError, match="got 1 taps and 2 stores"):
        embed(encoders, source, PLAN, stores, taps=["wide"])
    assert embed(encoders, source, PLAN, stores, taps=["wide", "colour"]).rows_done == 48


def test_progress_counts_every_view_of_every_store(tmp_path: Path, monkeypatch):
    bars: list[Bar] = []

    @contextmanager
    def watched(label: str, *, total: int, unit: str, compiles: bool):
        assert (label, unit, compiles) == ("embed translation", "view", True)
        bars.append(Bar(total=total))
        yield bars[-1]

    # The package's attribute of this name is the function, not its module.
    monkeypatch.setattr(import_module("mgm_jax.embeddings.embed"), "progress", watched)
    encoders = [FakeEncoder(), FakeEncoder(seed=1)]
    stores = [open_store(tmp_path / one.name, one) for one in encoders]
    embed(encoders, FakeSource(COUNT), PLAN, stores)
    damage(stores[1], 2)
    embed(encoders, FakeSource(COUNT), PLAN, stores)
    assert [(bar.total, bar.done) for bar in bars] == [(48, 48), (6, 6)]
    # A bar handed in counts what was there before as well.
    damage(stores[0], 0)
    larger = Bar(total=100)
    embed(encoders, FakeSource(COUNT), PLAN, stores, bar=larger)
    assert (len(bars), larger.done) == (2, 48)
