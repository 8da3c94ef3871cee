"""Batches of views: fixed shapes, every row once, nothing but padding beside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.embeddings import batches
from mgm_jax.embeddings.batches import batch_shape, view_batches
from mgm_jax.embeddings.plan import ViewPlan
from mgm_jax.encoders.spec import Preprocess
from mgm_jax.images.settings import SETTINGS
from mgm_jax.images.views import image_key, make_views

from .fakes import FakeSource, fake_canvases

PREPROCESS = Preprocess(size=6, resize=8)

sizes = given(
    images=st.integers(1, 20),
    views=st.integers(1, 9),
    chunk_images=st.integers(1, 25),
    batch_views=st.integers(1, 40),
)


def plan_of(*, images: int, views: int, chunk_images: int, setting: str = "semantic") -> ViewPlan:
    return ViewPlan(
        indices=range(images), setting=SETTINGS[setting], views=views, chunk_images=chunk_images
    )


@settings(max_examples=200, deadline=None)
@sizes
def test_shape_is_within_bounds_and_parts_are_equal(images, views, chunk_images, batch_views):
    plan = plan_of(images=images, views=views, chunk_images=chunk_images)
    batch_images, batch_v = batch_shape(plan, batch_views=batch_views)
    of_chunk = min(images, chunk_images)
    assert 1 <= batch_images <= of_chunk
    assert 1 <= batch_v <= views
    assert batch_images * batch_v <= batch_views
    # Padding is less than one place a part.
    for total, part in ((of_chunk, batch_images), (views, batch_v)):
        parts = -(-total // part)
        assert parts * part - total < parts


@settings(max_examples=40, deadline=None)
@sizes
def test_every_row_of_every_chunk_is_made_once(images, views, chunk_images, batch_views):
    plan = plan_of(images=images, views=views, chunk_images=chunk_images)
    shape = batch_shape(plan, batch_views=batch_views)
    chunks = range(-(-images // chunk_images))
    made: dict[int, list[int]] = {chunk: [] for chunk in chunks}

    def blank_views(canvas, keys, numbers, *, size, **_):
        assert (len(canvas), len(numbers)) == shape
        assert max(numbers) < views
        return np.zeros((len(keys), len(numbers), size, size, 3), np.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "canvases", fake_canvases)
        patch.setattr(batches, "make_views", blank_views)
        for batch in view_batches(
            FakeSource(images),
            plan,
            chunks,
            preprocess=PREPROCESS,
            batch_views=batch_views,
            on_error="raise",
        ):
            assert batch.views.shape == (shape[0] * shape[1], 6, 6, 3)
            assert batch.rows.shape == (shape[0] * shape[1],)
            made[batch.chunk] += batch.rows[batch.rows >= 0].tolist()
    for chunk, rows in made.items():
        assert sorted(rows) == list(range(len(plan.chunk_indices(chunk)) * views))


@pytest.mark.slow
def test_views_are_those_of_their_image_and_number(counted):
    plan = plan_of(images=5, views=3, chunk_images=3, setting="translation")
    source = FakeSource(5)
    result = {}
    for batch in view_batches(
        source, plan, [1, 0], preprocess=PREPROCESS, batch_views=6, on_error="raise"
    ):
        for row, view in zip(batch.rows, np.asarray(batch.views), strict=True):
            if row >= 0:
                result[batch.chunk * plan.chunk_rows + row] = view
    assert sorted(result) == list(range(plan.rows))
    for row, view in result.items():
        image, number = divmod(row, 3)
        canvas = FakeSource(5).canvas(image, 8)[None]
        key = image_key(source.ids[image])
        alone = make_views(canvas, [key], [number], setting="translation", size=6)
        np.testing.assert_allclose(view, alone[0, 0], atol=1e-6)


def test_each_image_is_decoded_once_but_for_padding(counted):
    plan = plan_of(images=7, views=2, chunk_images=3)
    source = FakeSource(7)
    for _ in view_batches(
        source, plan, [0, 1, 2], preprocess=PREPROCESS, batch_views=4, on_error="raise"
    ):
        pass
    # Three images in batches of two: the last one of a chunk fills its batch up.
    assert source.decoded == [0, 1, 2, 2, 3, 4, 5, 5, 6, 6]
    assert counted.views == 5


def test_no_chunk_makes_no_batch(counted):
    plan = plan_of(images=7, views=2, chunk_images=3)
    options = {"preprocess": PREPROCESS, "batch_views": 4, "on_error": "raise"}
    assert list(view_batches(FakeSource(7), plan, [], **options)) == []


def test_rows_of_unreadable_images_are_named(counted):
    plan = plan_of(images=4, views=2, chunk_images=4)
    source = FakeSource(4, broken=frozenset({1, 3}))
    (batch,) = view_batches(
        source, plan, [0], preprocess=PREPROCESS, batch_views=8, on_error="skip"
    )
    one, three = "class/1.png: cut short", "class/3.png: cut short"
    assert batch.failed == {2: one, 3: one, 6: three, 7: three}
