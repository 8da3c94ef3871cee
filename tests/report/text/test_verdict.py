"""The verdict on transfer prediction is honest: every condition can lose a task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mgm_jax.report.data.tables import read_tables
from mgm_jax.report.text.headline import find_headline, judge_collapse
from mgm_jax.report.text.verdict import Verdict, judge_prediction

WON = {"r2": 0.6, "p_holm": 0.01, "random_r2_high": 0.3, "baseline": 0.4}


def judged(*tasks: dict[str, float], held_out: str = "model") -> Verdict:
    rows = []
    for position, facts in enumerate(tasks):
        facts = WON | facts
        shared = {"task": f"task {position}", "held_out": held_out}
        rows.append(
            shared
            | {"predictors": "mgm", "r2": facts["r2"], "p_holm": facts["p_holm"]}
            | {"random_r2_high": facts["random_r2_high"]}
        )
        rows.append(shared | {"predictors": "rankme", "r2": facts["baseline"], "p_holm": 0.01})
    frame = pd.DataFrame(rows)
    return judge_prediction(frame)[0]


def test_a_task_is_won_only_by_all_conditions_at_once():
    assert judged({}).ahead == 1
    for lost in (
        {"r2": 0.39},
        {"p_holm": 0.06},
        {"p_holm": np.nan},
        {"random_r2_high": 0.7},
        {"r2": -0.1, "baseline": -0.5, "random_r2_high": -0.6},
        {"r2": np.nan},
    ):
        assert judged(lost).ahead == 0, lost
    # Nothing is held against the metrics that was not tried.
    assert judged({"random_r2_high": np.nan}).ahead == 1
    assert judged({"baseline": np.nan}).ahead == 1


@pytest.mark.parametrize(
    ("won", "lost", "title"),
    [
        (0, 3, "do not beat the baselines at predicting transfer on any of 3 tasks."),
        (0, 1, "do not beat the baselines at predicting transfer on the one task."),
        (1, 1, "do not beat the baselines at predicting transfer: they are ahead on 1 of 2 tasks."),
        (2, 1, "predict transfer better than every baseline on 2 of 3 tasks."),
        (1, 0, "predict transfer better than every baseline on 1 of 1 task."),
    ],
)
def test_titles(won: int, lost: int, title: str):
    result = judged(*[{}] * won, *[{"baseline": 0.9}] * lost)
    assert result.title == f"Manifold graph metrics {title}"
    assert result.beaten == (2 * won <= won + lost)


def test_without_baselines_nothing_is_claimed_over_them():
    result = judged({"baseline": np.nan}, {"baseline": np.nan, "p_holm": 0.5})
    assert "beyond chance on 1 of 2 tasks; no baseline was run" in result.title
    assert "baseline" not in result.lead


def test_lead_holds_the_numbers():
    result = judged({}, {"baseline": 0.9, "p_holm": 0.2, "r2": 0.2})
    assert (
        "a median R² of 0.400, the best baseline of each task a median R² of 0.650" in result.lead
    )
    assert "significant on 1 of 2 tasks" in result.lead
    assert "Widest lead: task 0, R² 0.600 against 0.400 (RankMe)." in result.lead


def test_the_metrics_with_the_baselines_are_no_baseline():
    shared = {"task": "a", "held_out": "model", "random_r2_high": 0.1, "p_holm": 0.01}
    rows = [
        shared | {"predictors": "mgm", "r2": 0.6},
        shared | {"predictors": "width", "r2": 0.4},
        shared | {"predictors": "mgm + all baselines", "r2": 0.9},
        shared | {"predictors": "mgm + width", "r2": 0.8},
    ]
    (verdict,) = judge_prediction(pd.DataFrame(rows))
    assert (verdict.tasks[0].baseline, verdict.tasks[0].baseline_r2) == ("width", 0.4)
    assert verdict.tasks[0].ahead


def test_single_models_are_judged_before_families():
    model, family = (judged({}, held_out=way) for way in ("model", "family"))
    assert (model.held_out, family.held_out) == ("model", "family")
    frame = pd.DataFrame(
        {
            "task": "t",
            "predictors": "mgm",
            "held_out": ["family", "model"],
            "r2": [0.1, 0.2],
            "p_holm": 0.01,
            "random_r2_high": 0.0,
        }
    )
    assert [entry.held_out for entry in judge_prediction(frame)] == ["model", "family"]
    assert judge_prediction(frame.assign(predictors="rankme")) == []


def test_the_page_says_it_first(study: Callable[[str], Path]):
    tables = read_tables(study("transfer"))
    headline = find_headline(tables, judge_collapse(tables))
    assert headline.title.endswith("they are ahead on 1 of 5 tasks.")
    assert "With one family held out at a time they are ahead on" in headline.lead
