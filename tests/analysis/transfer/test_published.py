"""Published tables: as transcribed, complete in the package, and joined by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mgm_jax as mgm
from mgm_jax.analysis.transfer.published import published_names, same_model
from mgm_jax.analysis.transfer.published_tasks import TASKS, published_tasks
from mgm_jax.errors import InputError
from tests.conftest import SHARED


@pytest.mark.parametrize("name", ["many_shot_linear", "many_shot_finetune"])
def test_rows_give_the_published_mean(name: str):
    table = mgm.published_transfer(name)
    tasks = table.drop(columns=["ImageNet", "Avg"], errors="ignore")
    assert tasks.shape == (14, 11)
    # Two digits are published: rounding moves a mean of 11 by 0.005 at most, and so its own.
    np.testing.assert_allclose(tasks.mean(axis=1), table["Avg"], atol=0.0101)


@pytest.mark.parametrize("name", published_names())
def test_tables_are_whole_and_name_their_source(name: str):
    table = mgm.published_transfer(name)
    assert len(table) == 14 and table.notna().all(axis=None)
    assert all(kind == np.float64 for kind in table.dtypes)
    assert "arXiv:2011.13377" in table.attrs["source"] and table.attrs["note"]
    original = SHARED.parent / "reference" / "transfer" / f"{name}.csv"
    if not original.exists():
        pytest.skip("compares with the transcription beside the checkout")
    pd.testing.assert_frame_equal(table, pd.read_csv(original, index_col="model"))


def test_models_are_found_under_a_users_names():
    mine = [
        "swav_800ep",
        "my net",
        "mocov2",
        "SimCLR",
        "supervised-r50",
        "resnet50",
        "PCL_v2_epoch200.pth",
    ]
    joined = mgm.published_transfer("many_shot_linear", models=mine)
    assert list(joined.index) == [name for name in mine if name not in ("my net", "resnet50")]
    published = mgm.published_transfer("many_shot_linear")
    same = ["SwAV", "MoCo-v2", "SimCLR-v1", "Supervised", "PCL-v2"]
    np.testing.assert_array_equal(joined.to_numpy(), published.loc[same].to_numpy())


def test_no_two_published_models_meet_in_one_name():
    published = mgm.published_transfer("many_shot_linear").index
    assert len({same_model(name) for name in published}) == 14
    assert same_model("MoCo-v3") not in {same_model(name) for name in published}
    assert same_model("vit_b16") not in {same_model(name) for name in published}


def test_what_cannot_be_joined_is_refused():
    with pytest.raises(InputError, match="no published table 'linear'; there are cross_domain"):
        mgm.published_transfer("linear")
    with pytest.raises(InputError, match="MoCo-v2, moco_v2 stand for the same"):
        mgm.published_transfer("many_shot_linear", models=["moco_v2", "MoCo-v2"])


def test_published_scores_go_straight_into_a_prediction():
    """ImageNet accuracy, taken as the only metric, predicts linear transfer of these 14."""
    table = mgm.published_transfer("many_shot_linear")
    result = mgm.predict_transfer(
        table[["ImageNet"]], table[["DTD", "VOC2007"]], permutations=99, random_sets=20
    )
    assert (result.to_pandas()["spearman"] > 0.5).all()


def test_the_tasks_are_the_published_tables_side_by_side():
    tasks = published_tasks()
    assert tasks.notna().all(axis=None) and len(TASKS) == 8
    sets = {name.partition(" · ")[2] for name in tasks} - {"mean"}
    assert len(sets) == 11 + 4 + 3, "18 data sets, as the paper counts them"
    linear = mgm.published_transfer("many_shot_linear")
    np.testing.assert_array_equal(tasks["linear · Pets"], linear["Pets"])
    np.testing.assert_allclose(tasks["linear · mean"], linear["Avg"], atol=0.0101)
    shots = [mgm.published_transfer(f"few_shot_5way_{n}shot") for n in (5, 20, 50)]
    np.testing.assert_allclose(
        tasks["few-shot · Pets"], np.mean([one["Pets"] for one in shots], axis=0)
    )
    np.testing.assert_allclose(
        tasks["few-shot · Cars"], np.mean([one["Cars"] for one in shots[:2]], axis=0)
    )
    across = mgm.published_transfer("cross_domain_few_shot")
    own = across[["ISIC_5", "ISIC_20", "ISIC_50"]].mean(axis=1)
    np.testing.assert_allclose(tasks["cross-domain few-shot · ISIC"], own)


def test_the_tasks_are_joined_by_name():
    tasks = published_tasks(models=["my_swav", "supervised-r50", "swav_800ep"])
    assert list(tasks.index) == ["supervised-r50", "swav_800ep"]
    np.testing.assert_array_equal(tasks.loc["swav_800ep"], published_tasks().loc["SwAV"])
