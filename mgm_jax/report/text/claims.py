"""The three claims of arXiv 2209.08622, each judged by what the study measured.

i.   Encoders fall into groups that do not follow the training paradigm.
ii.  Manifold graph metrics predict how an encoder transfers.
iii. An untrained ResNet is collapsed, an untrained ViT is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mgm_jax.analysis import Collapse
from mgm_jax.analysis.transfer.published_tasks import MEAN, SEPARATOR
from mgm_jax.report.text.labels import number, shorten
from mgm_jax.report.text.verdict import SIGNIFICANT, Verdict

#: Claims that a study must speak to, at least, for the page to have the section.
MIN_CLAIMS = 2

# Tasks that the text lists.
_MAX_TASKS = 8


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim and what the study says of it.

    Attributes:
        claim: the claim, in the paper's sense.
        tested: whether the study speaks to it.
        verdict: one sentence.
        numbers: the numbers behind it, with intervals; empty where it is not tested.
        limits: what the study does not show, or what it lacks for a test.
        section: anchor of the section with the figure; empty where there is none.
    """

    claim: str
    tested: bool
    verdict: str
    numbers: str
    limits: str
    section: str


def judge_claims(
    agreement: pd.DataFrame,
    prediction: pd.DataFrame,
    verdicts: list[Verdict],
    collapse: Collapse | None,
) -> list[Claim]:
    """All three claims in their order; none where the study speaks to fewer than two.

    Args:
        agreement: table ``cluster_agreement``.
        prediction: table ``prediction``.
        verdicts: from :func:`mgm_jax.report.text.verdict.judge_prediction`.
        collapse: what was found on untrained encoders.
    """
    claims = [_groups(agreement), _transfer(prediction, verdicts), _collapse(collapse)]
    return claims if sum(one.tested for one in claims) >= MIN_CLAIMS else []


def _untested(claim: str, limits: str, *, section: str = "") -> Claim:
    return Claim(
        claim=claim,
        tested=False,
        verdict="Not tested.",
        numbers="",
        limits=limits,
        section=section,
    )


def _groups(agreement: pd.DataFrame) -> Claim:
    words = "Encoders fall into groups that do not follow the training paradigm."
    rows: Any = agreement.loc[agreement["against"] == "paradigm"]
    if rows.empty:
        return _untested(
            words, "It needs encoders of several paradigms that their files or the study state."
        )
    agreements = [
        _agreement(str(images), own) for images, own in rows.groupby("images", sort=False)
    ]
    followed = [p_value <= SIGNIFICANT for _, p_value in agreements]
    if not any(followed):
        verdict = "In line with it: no cut of the tree follows the paradigm beyond chance."
        limits = "With few encoders a weak agreement is not seen; none seen is no proof of none."
    else:
        verdict = (
            "It does not hold here: some cut of the tree follows the paradigm."
            if all(followed)
            else "It depends on the images: on some of them a cut of the tree follows the paradigm."
        )
        limits = (
            "Paradigm and network may go together in this choice of encoders: that groups follow "
            "the one does not say that they do not follow the other."
        )
    return Claim(
        claim=words,
        tested=True,
        verdict=verdict,
        numbers=(
            "Agreement of groups and paradigm (adjusted Rand index: 0 at chance, 1 where equal) "
            "where it is clearest, the search over all cuts allowed for: "
            + "; ".join(text for text, _ in agreements)
            + "."
        ),
        limits=limits,
        section="likeness",
    )


def _agreement(images: str, rows: pd.DataFrame) -> tuple[str, float]:
    """One image set in a clause, and the smallest p-value that allows for all cuts."""
    cuts = rows.to_dict("records")
    searched = "p_value" if any(math.isnan(cut["p_any"]) for cut in cuts) else "p_any"
    best = min(cuts, key=lambda cut: cut[searched])
    text = f"{shorten(images, most=30)}: {_cut(best, p_value=searched)}"
    chosen = [cut for cut in cuts if cut["chosen"]]
    if chosen:
        text += f" (at the most stable cut {_cut(chosen[0], p_value='p_value')})"
    return text, float(best[searched])


def _cut(cut: Any, *, p_value: str) -> str:
    groups = "" if math.isnan(cut["groups"]) else f" at {cut['groups']:.0f} groups"
    return f"{number(cut['ari'])}{groups}, p = {number(cut[p_value])}"


def _transfer(prediction: pd.DataFrame, verdicts: list[Verdict]) -> Claim:
    words = "Manifold graph metrics predict how an encoder transfers."
    if not verdicts:
        return _untested(
            words, "It needs scores of transfer, measured or given, of six encoders or more."
        )
    first = verdicts[0]
    above = sum(task.significant and task.r2 > 0 for task in first.tasks)
    own: Any = prediction.loc[
        (prediction["predictors"] == "mgm") & (prediction["held_out"] == first.held_out)
    ]
    # Of many tasks the means over data sets stand for them; the section has all.
    whole = own.loc[own["task"].str.endswith(f"{SEPARATOR}{MEAN}")]
    listed = (whole if len(whole) else own).head(_MAX_TASKS).to_dict("records")
    spans = (
        " R² by task: "
        + "; ".join(
            f"{shorten(str(row['task']), most=30)} {number(row['r2'])} ({number(row['r2_low'])} to "
            f"{number(row['r2_high'])})"
            for row in listed
        )
        + "."
    )
    count = len(first.tasks)
    of = f"{above} of {count} task{'s' * (count != 1)}"
    if not above:
        verdict = "It does not hold here: held out, they predict no task beyond chance."
    elif first.beaten:
        verdict = f"In part: beyond chance on {of}, and not better than plain baselines."
    else:
        verdict = f"It holds here: beyond chance on {of}, and ahead of every baseline on most."
    return Claim(
        claim=words,
        tested=True,
        verdict=verdict,
        numbers=first.lead + spans,
        limits=(
            f"{_models(own)} encoders are few, near relatives count as independent in the "
            "intervals, and what predicts transfer need not cause it."
        ),
        section="prediction",
    )


def _models(rows: pd.DataFrame) -> str:
    counts = rows["models"].dropna() if "models" in rows else pd.Series(dtype=float)
    return f"{counts.max():.0f}" if len(counts) else "These"


def _collapse(collapse: Collapse | None) -> Claim:
    words = "An untrained ResNet is collapsed, an untrained ViT is not."
    if collapse is None or collapse.claim == "untested":
        return _untested(
            words,
            "It needs untrained ResNets and untrained ViTs, several seeds of each.",
            section="collapse" if collapse is not None else "",
        )
    verdict = {
        "holds": "It holds here.",
        "fails": "It does not hold here.",
        "open": "Open: an interval spans the threshold.",
    }[collapse.claim]
    return Claim(
        claim=words,
        tested=True,
        verdict=f"{verdict} {collapse.headline}",
        numbers=collapse.statement,
        limits=(
            f"The threshold of {collapse.threshold:g} is ours. How images attract and repel each "
            "other in training, the rest of this claim, takes encoders of several epochs."
        ),
        section="collapse",
    )
