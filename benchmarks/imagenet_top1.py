"""What does ImageNet top-1 accuracy alone predict of published transfer? Held out.

    python -m benchmarks.imagenet_top1

Needs no encoder: the accuracy and the scores of 14 ResNet-50 come with the package. Writes
``benchmarks/results/imagenet_top1.json`` and the table of ``docs/paper.md``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from mgm_jax import predict_transfer, published_transfer
from mgm_jax.analysis.transfer.published_tasks import MEAN, SEPARATOR, TASKS, published_tasks
from mgm_jax.encoders.catalogue.published import PUBLISHED

RESULT = Path(__file__).parent / "results" / "imagenet_top1.json"
PAGE = Path(__file__).parents[1] / "docs" / "paper.md"
_BEGIN, _END = "<!-- table of ImageNet top-1 -->", "<!-- end of the table -->"


def measure(*, permutations: int = 1000, resamples: int = 2000) -> pd.DataFrame:
    """A row a task and way of holding out: R^2 with its interval, rank correlation, p-values."""
    accuracy = published_transfer("many_shot_linear")[["ImageNet"]]
    methods = {one.method.name: one.paradigm for one in PUBLISHED.values()}
    prediction = predict_transfer(
        accuracy,
        published_tasks(),
        families=pd.Series({model: methods[str(model)] for model in accuracy.index}),
        name="ImageNet top-1",
        permutations=permutations,
        resamples=resamples,
        random_sets=20,
    )
    table: Any = prediction.table
    keep = table["predictors"] == "ImageNet top-1"
    columns = ["task", "predictors", "held_out", "models", "r2", "r2_low", "r2_high"]
    columns += ["spearman", "spearman_low", "spearman_high", "p_value", "p_holm"]
    return table.loc[keep, columns].reset_index(drop=True)


def rows(table: pd.DataFrame) -> list[str]:
    """The table of the page: a line a task, of several data sets their mean and their range."""
    own: Any = table[table["predictors"] == "ImageNet top-1"]
    by_model = own[own["held_out"] == "model"].set_index("task")
    by_family = own[own["held_out"] == "family"].set_index("task")
    lines = [
        "| task | data sets | R² of the mean (95 % interval) | p (Holm) | rank correlation | "
        "R², one paradigm held out | R² of single data sets, least to largest |",
        "|---|---|---|---|---|---|---|",
    ]
    for task in TASKS:
        sets = [name for name in by_model.index if name.partition(SEPARATOR)[0] == task]
        mean = f"{task}{SEPARATOR}{MEAN}"
        single = [name for name in sets if name != mean]
        whole = mean if mean in sets else single[0]
        row = by_model.loc[whole]
        r2 = by_model.loc[single, "r2"].sort_values()
        span = (
            ""
            if len(single) == 1
            else "; ".join(
                f"{name.partition(SEPARATOR)[2]} {r2[name]:.2f}"
                for name in (r2.index[0], r2.index[-1])
            )
        )
        rank = "–" if pd.isna(row["spearman"]) else f"{row['spearman']:.2f}"
        lines.append(
            f"| {task} | {len(single)} | {row['r2']:.2f} ({row['r2_low']:.2f} to "
            f"{row['r2_high']:.2f}) | {row['p_holm']:.3f} | {rank} | "
            f"{by_family.loc[whole, 'r2']:.2f} | {span} |"
        )
    return lines


def main() -> None:
    """Compute, print, and write."""
    table = measure()
    RESULT.write_text(json.dumps(table.to_dict("records"), indent=1) + "\n", encoding="utf-8")
    lines = "\n".join(rows(table))
    print(lines)
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    PAGE.write_text(f"{head}{_BEGIN}\n\n{lines}\n\n{_END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
