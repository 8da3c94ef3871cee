"""Words for what the tables name: probes, scores, predictors, features, ways of holding out."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from mgm_jax.report.data.definitions import DEFINITIONS, define

#: What the metrics of this project are called among the predictors.
MGM = "mgm"

_SCORES = {
    "logme": "LogME",
    "h_score": "H-score",
    "leep": "LEEP",
    "nce": "NCE",
    "gbc": "GBC",
    "transrate": "TransRate",
}
_MEASURES = _SCORES | {
    "linear": "linear probe",
    "ridge": "ridge probe",
    "knn": "k-NN",
    "knn_accuracy": "k-NN accuracy",
}
_PREDICTORS = _SCORES | {
    MGM: "MGM",
    "mean": "mean of the others",
    "mean_of_others": "mean of the others",
    "imagenet_top1": "ImageNet top-1",
    "mgm + all baselines": "MGM + all baselines",
    "size": "model size",
    "model_size": "model size",
    "knn": "k-NN accuracy",
}
_METRICS = {
    "top1": "top-1 accuracy (share)",
    "mean_per_class": "mean accuracy per class (share)",
    "map": "mean average precision (share)",
    "map11": "11-point mAP (share)",
    "r2": "R² (share of variance explained)",
    "score": "score",
}
_SIMILARITIES = {"mutual_knn": "mutual k-NN", "cka": "CKA"}
_HELD_OUT = {"model": "one model held out", "family": "one family held out"}


def measure_name(measure: str) -> str:
    """Words for a probe or score.

    >>> [measure_name(name) for name in ("linear", "few_shot_5way_20shot", "mine")]
    ['linear probe', '5-way 20-shot', 'mine']
    """
    if measure in _MEASURES:
        return _MEASURES[measure]
    words = measure.removeprefix("few_shot_").replace("_", " ")
    return words.replace("way", "-way").replace("shot", "-shot") if words != measure else measure


def metric_name(metric: str) -> str:
    """Words for the metric of a probe, with its unit."""
    return _METRICS.get(metric, metric.replace("_", " "))


def similarity_name(measure: str) -> str:
    """Words for a measure of similarity.

    >>> similarity_name("cka")
    'CKA'
    """
    return _SIMILARITIES.get(measure, measure.replace("_", " "))


def feature_name(name: str) -> str:
    """Words for a column of the table of models.

    >>> [feature_name(name) for name in ("augs.nnk_degree", "rankme", "my column")]
    ['augs NNK degree', 'RankMe', 'my column']
    """
    section, dot, metric = name.rpartition(".")
    return f"{section} {define(metric).label}" if dot else define(name).label


def predictors_name(name: str) -> str:
    """Words for a set of predictors.

    >>> [predictors_name(name) for name in ("mgm", "knn_accuracy", "my_score")]
    ['MGM', 'k-NN accuracy', 'my score']
    """
    if name in _PREDICTORS:
        return _PREDICTORS[name]
    return define(name).label if name in DEFINITIONS else name.replace("_", " ")


def ordered_predictors(prediction: pd.DataFrame) -> list[str]:
    """Names of the predictors, the metrics first, the baselines as in the table."""
    names = list(dict.fromkeys(prediction["predictors"]))
    return sorted(names, key=lambda name: name != MGM)


def ordered_measures(transfer: pd.DataFrame) -> list[str]:
    """Probes first, then scores, each in the order of the table."""
    kinds = dict(zip(transfer["measure"].astype(str), transfer["kind"], strict=True))
    return sorted(kinds, key=lambda measure: kinds[measure] == "score")


def held_out_name(way: str) -> str:
    """Words for what was held out."""
    return _HELD_OUT.get(way, f"{way} held out")


def ordered_ways(held_out: Iterable[str]) -> list[str]:
    """The ways of holding out, each once: single models first, else as they come."""
    return sorted(dict.fromkeys(held_out), key=lambda way: way != "model")
