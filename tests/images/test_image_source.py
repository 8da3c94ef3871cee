"""Selections of a source, and its digest."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.errors import InputError
from mgm_jax.images.sources.arrays import array_source

PIXELS = np.random.default_rng(1).integers(0, 256, (30, 5, 5, 3), np.uint8)
LABELS = ["cat"] * 15 + ["dog"] * 10 + ["eel"] * 5
SOURCE = array_source(PIXELS, LABELS, name="pets")


def test_a_subset_reads_the_images_it_names():
    part = SOURCE.subset([29, 3, 16])
    assert part.ids == ("29", "03", "16")
    assert part.labels.tolist() == [2, 0, 1]
    assert part.classes == SOURCE.classes
    for index, position in enumerate((29, 3, 16)):
        np.testing.assert_array_equal(part.read(index), PIXELS[position])
    np.testing.assert_array_equal(part.subset([2]).read(0), PIXELS[16])


@given(count=st.integers(1, 40), per_class=st.integers(1, 20), seed=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_takes_are_nested_ordered_and_even(count, per_class, seed):
    taken = SOURCE.take(count=count, per_class=per_class, seed=seed)
    assert list(taken.ids) == sorted(taken.ids)
    sizes = np.bincount(taken.labels, minlength=3)
    available = np.minimum([15, 10, 5], per_class)
    assert sizes.sum() == min(count, available.sum())
    # Only a class that has no more images is behind the largest by more than one.
    assert ((sizes >= sizes.max() - 1) | (sizes == available)).all()
    larger = SOURCE.take(count=count + 1, per_class=per_class, seed=seed)
    assert set(taken.ids) <= set(larger.ids)


def test_another_seed_takes_others():
    chosen = {SOURCE.take(count=5, seed=seed).ids for seed in range(6)}
    assert len(chosen) > 3
    assert SOURCE.take(count=5, seed=2).ids == SOURCE.take(count=5, seed=2).ids


def test_the_digest_follows_the_content():
    again = array_source(PIXELS.copy(), LABELS, name="other name")
    assert again.digest == SOURCE.digest
    changed = PIXELS.copy()
    changed[7, 0, 0, 0] ^= 1
    assert array_source(changed, LABELS).digest != SOURCE.digest
    assert array_source(PIXELS, LABELS[::-1]).digest != SOURCE.digest
    assert SOURCE.subset(range(29)).digest != SOURCE.digest
    assert SOURCE.subset([1, 0]).digest != SOURCE.subset([0, 1]).digest


def test_the_digest_of_a_selection_knows_nothing_of_the_rest():
    changed = PIXELS.copy()
    changed[7] = 0
    other = array_source(changed, LABELS)
    assert other.subset([1, 2]).digest == SOURCE.subset([1, 2]).digest


def test_labels_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        SOURCE.labels[0] = 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ids": (), "labels": [], "fingerprints": ()}, "no images"),
        ({"ids": ("a",) * 30}, "more than once: a"),
        ({"labels": [0] * 29}, "one label"),
        ({"labels": [3] * 30}, "labels must be"),
        ({"labels": [-2] * 30}, "labels must be"),
    ],
)
def test_a_source_that_does_not_fit_together_is_refused(change, named):
    with pytest.raises(InputError, match=named):
        dataclasses.replace(SOURCE, **change)


def test_wrong_selections_are_named():
    with pytest.raises(InputError, match="0 to 29; asked for 30, -1"):
        SOURCE.subset([0, 30, -1])
    with pytest.raises(InputError, match="per_class"):
        SOURCE.take(per_class=0)


def test_one_picture_is_not_taken_for_grey_ones():
    with pytest.raises(InputError, match="one picture of three channels"):
        array_source(PIXELS[0])
