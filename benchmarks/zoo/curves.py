"""Geometry over training: the picture and the table of a study of encoders after every epoch."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.pictures.style import COLOURS
from benchmarks.zoo.names import parse_name
from mgm_jax.errors import InputError
from mgm_jax.intervals import student_reach

#: Column of the table ``models``, what it is called, its unit or range.
METRICS = {
    "mean_cosine": "mean cosine of images",
    "semantic.nnk_diameter": "NNK diameter of a class",
    "semantic.nnk_degree": "NNK degree in a class",
    "rankme": "RankMe (effective rank)",
    "augs.relative_diameter": "relative diameter of views",
    "knn_accuracy": "k-NN accuracy",
}

# The report's colours, and line styles for print.
_STYLES = {
    "resnet": ("ResNet", COLOURS["--series-1"], "-"),
    "vit": ("ViT", COLOURS["--series-2"], "--"),
}


def training_table(models: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """Mean and interval over seeds of every metric, a row a backbone, epoch and metric.

    Args:
        models: table ``models`` of a study whose encoders are called ``simclr-resnet-s0-e03``.
        level: coverage of the intervals (Student's t over seeds).

    Raises:
        InputError: an encoder of another name, or fewer than three seeds.
    """
    names = [parse_name(str(name)) for name in models["encoder"]]
    for encoder, name in zip(models["encoder"], names, strict=True):
        if name is None or name.epoch is None:
            raise InputError(f"{encoder}: expected a name such as simclr-resnet-s0-e03")
    keys = pd.DataFrame([asdict(name) for name in names if name])
    rows = []
    for column in METRICS:
        values = keys.assign(value=models[column].to_numpy(np.float64))
        for (backbone, epoch), block in values.groupby(["backbone", "epoch"]):
            seeds = len(block)
            if seeds < 3:
                raise InputError(
                    f"{backbone}, epoch {epoch}: an interval over seeds takes three, got {seeds}"
                )
            reach = student_reach(block["value"].std(ddof=1), seeds, level=level)
            mean = block["value"].mean()
            rows.append(
                {
                    "metric": column,
                    "backbone": backbone,
                    "epoch": epoch,
                    "seeds": seeds,
                    "mean": mean,
                    "low": mean - reach,
                    "high": mean + reach,
                }
            )
    return pd.DataFrame(rows)


def draw_curves(table: pd.DataFrame, path: Path) -> None:
    """One panel a metric, one line a backbone, bands over seeds; a PNG.

    Args:
        table: of :func:`training_table`.
        path: file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 6.0), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True)
    for axis, (column, title) in zip(axes.flat, METRICS.items(), strict=True):
        for backbone, (label, colour, line) in _STYLES.items():
            block = table[(table["metric"] == column) & (table["backbone"] == backbone)]
            block = block.sort_values("epoch")
            axis.plot(block["epoch"], block["mean"], line, color=colour, label=label, marker="o")
            axis.fill_between(
                block["epoch"], block["low"], block["high"], color=colour, alpha=0.2, lw=0
            )
        axis.set_title(title, fontsize=11)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("epochs of training (0: untrained)")
    axes[0, 0].legend(frameon=False)
    figure.savefig(path, dpi=160, facecolor="white")
