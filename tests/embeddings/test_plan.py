"""Plans of views, and the manifests that follow from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mgm_jax.embeddings.plan import ViewPlan, manifest_for
from mgm_jax.errors import InputError
from mgm_jax.images.settings import SETTINGS, setting_from_config

from .fakes import FakeEncoder, FakeSource

PLAN = ViewPlan(
    indices=(4, 0, 2, 3, 1), setting=SETTINGS["augs"], views=3, strength=0.5, seed=7, chunk_images=2
)
SOURCE = FakeSource(5)


def test_rows_and_chunks():
    assert (PLAN.rows, PLAN.chunk_rows) == (15, 6)
    assert [PLAN.chunk_indices(chunk) for chunk in range(3)] == [(4, 0), (2, 3), (1,)]


@pytest.mark.parametrize("indices", [[4, 0, 2, 3, 1], np.array([4, 0, 2, 3, 1], np.int32)])
def test_indices_of_any_kind_give_one_hashable_plan(indices):
    plan = replace(PLAN, indices=indices)
    assert plan == PLAN
    assert hash(plan) == hash(PLAN)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"indices": ()}, "one image or more"),
        ({"indices": (1, 2, 1)}, "not name an image twice, got 1"),
        ({"views": 0}, "views must be 1 or more, got 0"),
        ({"chunk_images": 0}, "chunk_images must be 1 or more"),
    ],
)
def test_impossible_plans_are_refused(wrong: dict, message: str):
    with pytest.raises(InputError, match=message):
        replace(PLAN, **wrong)


def test_indices_that_are_no_whole_numbers_are_refused():
    with pytest.raises(TypeError):
        replace(PLAN, indices=(0.5,))


def test_manifest_says_what_the_plan_and_the_encoder_say():
    encoder = FakeEncoder()
    manifest = manifest_for(encoder, SOURCE, PLAN, tap="colour", dtype="bfloat16")
    assert manifest.encoder == encoder.digest
    assert (manifest.tap, manifest.width) == ("colour", 3)
    assert manifest.dtype == "bfloat16"
    assert (manifest.rows, manifest.views, manifest.chunk_rows) == (15, 3, 6)
    assert (manifest.setting, manifest.strength, manifest.seed) == ("augs", 0.5, 7)
    assert manifest_for(encoder, SOURCE, PLAN).tap == "wide"


def test_what_changes_the_embeddings_changes_the_manifest():
    mine = setting_from_config("mine", [{"affine": {"degrees": 15}}])
    same_name = setting_from_config("mine", [{"affine": {"degrees": 16}}])
    digests = {
        manifest_for(encoder, source, plan).digest
        for encoder, source, plan in [
            (FakeEncoder(), SOURCE, PLAN),
            (FakeEncoder(seed=1), SOURCE, PLAN),
            (FakeEncoder(), FakeSource(5, version="2"), PLAN),
            (FakeEncoder(), SOURCE, replace(PLAN, indices=(0, 4, 2, 3, 1))),
            (FakeEncoder(), SOURCE, replace(PLAN, seed=8)),
            (FakeEncoder(), SOURCE, replace(PLAN, strength=1.0)),
            (FakeEncoder(), SOURCE, replace(PLAN, setting=mine)),
            (FakeEncoder(), SOURCE, replace(PLAN, setting=same_name)),
        ]
    }
    assert len(digests) == 8


def test_seed_counts_only_where_something_is_drawn():
    def digest(**changes) -> str:
        return manifest_for(FakeEncoder(), SOURCE, replace(PLAN, **changes)).digest

    semantic = SETTINGS["semantic"]
    assert digest(setting=semantic) == digest(setting=semantic, seed=8, strength=2.0)
    assert digest(strength=0.0) == digest(strength=0.0, seed=8)
    assert digest(strength=0.0) != digest(setting=semantic)


def test_images_elsewhere_in_the_source_do_not_count():
    digests = {manifest_for(FakeEncoder(), FakeSource(count), PLAN).digest for count in (5, 9)}
    assert len(digests) == 1


def test_images_that_are_not_there_are_refused():
    with pytest.raises(InputError, match=r"images 0 to 3; asked for \[4\]"):
        manifest_for(FakeEncoder(), FakeSource(4), PLAN)
