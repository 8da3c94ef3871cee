"""The published transfer scores as the tasks of one study: a column a task and data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import pandas as pd

from mgm_jax.analysis.transfer.published import published_transfer, under_names_of

#: What a study names to take these scores: ``transfer: {scores: "published:ericsson2021"}``.
PUBLISHED_SCORES = "published:ericsson2021"

# Columns of the published tables that are no transfer task of their own.
_NO_TASKS = ("ImageNet", "Avg")

#: What stands between a task and its data set, and for the mean over the data sets of a task.
SEPARATOR = " · "
MEAN = "mean"


def _columns(name: str) -> Callable[[], pd.DataFrame]:
    def read() -> pd.DataFrame:
        table = published_transfer(name)
        return table.drop(columns=[column for column in _NO_TASKS if column in table])

    return read


def _few_shot() -> pd.DataFrame:
    """Mean over the shots (5, 20, 50) that are published for a data set."""
    shots = [published_transfer(f"few_shot_5way_{count}shot") for count in (5, 20, 50)]
    names = list(shots[0].columns)
    return pd.DataFrame(
        {
            name: pd.concat([one[name] for one in shots if name in one], axis=1).mean(axis=1)
            for name in names
        }
    )


def _cross_domain() -> pd.DataFrame:
    table = published_transfer("cross_domain_few_shot")
    names = dict.fromkeys(str(column).rpartition("_")[0] for column in table)
    return pd.DataFrame(
        {name: table[[f"{name}_{count}" for count in (5, 20, 50)]].mean(axis=1) for name in names}
    )


def _dense(column: str, name: str) -> Callable[[], pd.DataFrame]:
    return lambda: pd.DataFrame({name: published_transfer("dense_prediction")[column]})


#: The eight tasks, each with how its table of data sets is made. Which tables make a task is our
#: reading of the paper, which counts eight tasks and 18 data sets and lists neither by table.
TASKS: Mapping[str, Callable[[], pd.DataFrame]] = MappingProxyType(
    {
        "linear": _columns("many_shot_linear"),
        "fine-tuning": _columns("many_shot_finetune"),
        "few-shot": _few_shot,
        "cross-domain few-shot": _cross_domain,
        "detection, frozen": _dense("det_frozen_AP", "VOC"),
        "detection, fine-tuned": _dense("det_finetune_AP", "VOC"),
        "surface normals": _dense("normals_mean", "NYUv2"),
        "segmentation": _dense("seg_mIoU", "ADE20K"),
    }
)


def published_tasks(*, models: Iterable[str] | None = None) -> pd.DataFrame:
    """Published scores of 14 ResNet-50 encoders on eight tasks and 18 data sets, side by side.

    Columns are ``task · data set``; a task of several data sets has ``task · mean`` besides, the
    mean over them. Few-shot scores are means over the published numbers of shots (5, 20, 50),
    detection is scored by its AP, surface normals by the mean error in degrees (lower is better),
    segmentation by its mean IoU as a fraction; all else in per cent.

    Args:
        models: names of models measured by a user, as for :func:`published_transfer`.

    Returns:
        One row a model, its name in the index; ``attrs["source"]`` names the paper.

    Raises:
        InputError: two of ``models`` are the same published one.

    Reference: Ericsson, Gouk and Hospedales, "How Well Do Self-Supervised Models Transfer?",
    CVPR 2021, arXiv:2011.13377.

    Example:
        >>> published_tasks(models=["swav"]).loc["swav", "linear · Pets"].item()
        87.6
    """
    columns = {}
    for task, read in TASKS.items():
        table = read()
        for name in table:
            columns[f"{task}{SEPARATOR}{name}"] = table[name]
        if table.shape[1] > 1:
            columns[f"{task}{SEPARATOR}{MEAN}"] = table.mean(axis=1)
    every = pd.DataFrame(columns)
    if models is not None:
        every = under_names_of(every, list(models))
    every.attrs = {"source": published_transfer("many_shot_linear").attrs["source"]}
    return every
