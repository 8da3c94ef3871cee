"""Verdicts on the paper's claims follow from the tables, and say what is not shown."""

from __future__ import annotations

import pandas as pd
import pytest

from mgm_jax.report.data.optional_tables import OptionalTables
from mgm_jax.report.text.claims import judge_claims
from mgm_jax.report.text.verdict import judge_prediction

CUTS = pd.DataFrame(
    {
        "images": "photos",
        "against": "paradigm",
        "groups": [2, 3],
        "ari": [0.1, 0.6],
        "p_value": [0.3, 0.01],
        "p_any": [0.4, 0.03],
        "chosen": [True, False],
    }
)
SCORES = pd.DataFrame(
    {
        "task": ["cars", "cars"],
        "predictors": ["mgm", "knn_accuracy"],
        "held_out": "model",
        "models": 12,
        "r2": [0.5, 0.2],
        "r2_low": [0.3, -0.1],
        "r2_high": [0.7, 0.4],
        "p_holm": [0.01, 0.2],
        "random_r2_high": [0.1, 0.1],
    }
)


def judge(agreement: pd.DataFrame, prediction: pd.DataFrame):
    return judge_claims(agreement, prediction, judge_prediction(prediction), None)


def test_groups_that_follow_the_paradigm_at_some_cut_speak_against_the_claim() -> None:
    groups, transfer, collapse = judge(CUTS, SCORES)
    assert groups.verdict.startswith("It does not hold here")
    assert "photos: 0.600 at 3 groups, p = 0.030" in groups.numbers
    assert "most stable cut 0.100 at 2 groups" in groups.numbers
    assert transfer.verdict.startswith("It holds here: beyond chance on 1 of 1 task,")
    assert "cars 0.500 (0.300 to 0.700)" in transfer.numbers
    assert not collapse.tested and "untrained ViTs" in collapse.limits


def test_without_agreement_beyond_chance_the_claim_stands_with_its_limits() -> None:
    groups, *_ = judge(CUTS.assign(p_any=[0.4, 0.2]), SCORES)
    assert groups.verdict.startswith("In line with it")
    assert "no proof" in groups.limits


def test_image_sets_that_disagree_are_said_to() -> None:
    other = CUTS.assign(images="digits", p_any=[0.9, 0.8])
    groups, *_ = judge(pd.concat([CUTS, other]), SCORES)
    assert groups.verdict.startswith("It depends on the images")
    assert "digits: 0.600 at 3 groups, p = 0.800" in groups.numbers


@pytest.mark.parametrize(
    ("r2", "p_holm", "said"),
    [(0.1, 0.01, "In part: beyond chance on 1 of 1 task,"), (0.5, 0.3, "It does not hold here")],
)
def test_prediction_beyond_chance_is_not_prediction_beyond_baselines(
    r2: float, p_holm: float, said: str
) -> None:
    scores = SCORES.assign(r2=[r2, 0.2], p_holm=[p_holm, 0.2], random_r2_high=0.05)
    assert judge(CUTS, scores)[1].verdict.startswith(said)


def test_a_study_of_one_claim_has_no_such_section() -> None:
    nothing = OptionalTables()
    assert not judge(CUTS, nothing.prediction)
    assert not judge(nothing.cluster_agreement, SCORES)
