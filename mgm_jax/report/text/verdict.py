"""Whether manifold graph metrics predict transfer better than the baselines, task by task."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from mgm_jax.analysis.transfer.predictors import has_baselines_added
from mgm_jax.report.text.labels import number, shorten
from mgm_jax.report.text.names import MGM, ordered_ways, predictors_name

#: Largest p-value, corrected over the tasks, that counts.
SIGNIFICANT = 0.05
_NAME_LETTERS = 30


@dataclass(frozen=True, kw_only=True)
class TaskVerdict:
    """One task.

    Attributes:
        task: its name.
        r2: held-out R² of the metrics; NaN where there is none.
        baseline: name of the best baseline, empty where none was run.
        baseline_r2: its held-out R²; NaN where there is none.
        significant: permutation p-value, corrected over the tasks, of at most 0.05.
        above_random: R² above what random features of the same number reach; True where the
            table does not say what they reach.
        ahead: R² above 0 and above every baseline, significant, and above random features.
    """

    task: str
    r2: float
    baseline: str
    baseline_r2: float
    significant: bool
    above_random: bool

    @property
    def ahead(self) -> bool:
        """R² above 0 and above every baseline, significant, and above random features."""
        beaten = math.isnan(self.baseline_r2) or self.r2 > self.baseline_r2
        return self.r2 > 0 and beaten and self.significant and self.above_random


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """All tasks under one way of holding out.

    Attributes:
        held_out: ``model`` or ``family``.
        tasks: one entry a task that the metrics were tried on.
    """

    held_out: str
    tasks: tuple[TaskVerdict, ...]

    @property
    def ahead(self) -> int:
        """Number of tasks on which the metrics are ahead."""
        return sum(task.ahead for task in self.tasks)

    @property
    def beaten(self) -> bool:
        """The metrics are not ahead on more than half of the tasks."""
        return 2 * self.ahead <= len(self.tasks)

    @property
    def title(self) -> str:
        """The verdict in one sentence."""
        count = len(self.tasks)
        if not any(task.baseline for task in self.tasks):
            return self._without_baselines()
        of = f"{self.ahead} of {count} task{'s' * (count != 1)}"
        if not self.ahead:
            where = "on the one task" if count == 1 else f"on any of {count} tasks"
            return (
                f"Manifold graph metrics do not beat the baselines at predicting transfer {where}."
            )
        if self.beaten:
            return (
                "Manifold graph metrics do not beat the baselines at predicting transfer: "
                f"they are ahead on {of}."
            )
        return f"Manifold graph metrics predict transfer better than every baseline on {of}."

    def _without_baselines(self) -> str:
        count = len(self.tasks)
        of = f"{self.ahead} of {count} task{'s' * (count != 1)}"
        return (
            f"Manifold graph metrics predict transfer beyond chance on {of}; "
            "no baseline was run beside them."
        )

    @property
    def lead(self) -> str:
        """The numbers behind the title."""
        if self.held_out == "model":
            text = "With one model held out at a time, "
        else:
            text = f"With one {self.held_out} held out at a time, "
        text += f"the metrics reach {_r2_of([task.r2 for task in self.tasks])}"
        best = [task.baseline_r2 for task in self.tasks if task.baseline]
        if best:
            text += f", the best baseline of each task {_r2_of(best)}"
        count = len(self.tasks)
        significant = sum(task.significant for task in self.tasks)
        text += (
            f". After Holm's correction the metrics are significant on {significant} of {count} "
            f"task{'s' * (count != 1)}."
        )
        if self.ahead and best:
            ahead = [task for task in self.tasks if task.ahead]
            widest = max(ahead, key=lambda task: task.r2 - task.baseline_r2)
            text += (
                f" Widest lead: {shorten(widest.task, most=_NAME_LETTERS)}, R² "
                f"{number(widest.r2)} against {number(widest.baseline_r2)} "
                f"({shorten(predictors_name(widest.baseline), most=_NAME_LETTERS)})."
            )
        return text


def judge_prediction(prediction: pd.DataFrame) -> list[Verdict]:
    """A verdict for each way of holding out, single models first; none without the metrics."""
    ways = ordered_ways(prediction["held_out"])
    verdicts = [_judge(prediction.loc[prediction["held_out"] == way], way) for way in ways]
    return [verdict for verdict in verdicts if verdict.tasks]


def _judge(rows: pd.DataFrame, held_out: str) -> Verdict:
    tasks = []
    for task, block in rows.groupby("task", sort=False):
        own = block.loc[block["predictors"] == MGM]
        if own.empty:
            continue
        row = own.iloc[0]
        # The metrics together with the baselines are not a baseline of theirs.
        predictors = pd.Series(block["predictors"])
        with_metrics = (predictors == MGM) | has_baselines_added(predictors, MGM)
        baselines = block.loc[~with_metrics & block["r2"].notna()]
        best = baselines.loc[baselines["r2"].idxmax()] if len(baselines) else None
        random_high = row["random_r2_high"]
        tasks.append(
            TaskVerdict(
                task=str(task),
                r2=float(row["r2"]),
                baseline=str(best["predictors"]) if best is not None else "",
                baseline_r2=float(best["r2"]) if best is not None else float("nan"),
                significant=bool(row["p_holm"] <= SIGNIFICANT),
                above_random=bool(math.isnan(random_high) or row["r2"] > random_high),
            )
        )
    return Verdict(held_out=held_out, tasks=tuple(tasks))


def _r2_of(values: list[float]) -> str:
    """One R² as it is, several as their median."""
    if len(values) == 1:
        return f"R² = {number(values[0])}"
    return f"a median R² of {number(float(pd.Series(values).median()))}"
