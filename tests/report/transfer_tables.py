"""Synthetic tables of probes, clusters, similarity and prediction, as a study writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.cluster import hierarchy
from scipy.stats import kendalltau, spearmanr

from tests.report.encoders import FakeEncoder

TARGETS = ("caltech20", "tiny-imagenet20", "cifar10", "omniglot", "mnist")
MEASURES = (
    ("probe", "linear", "top1"),
    ("probe", "knn", "top1"),
    ("probe", "few_shot_5way_5shot", "top1"),
    ("score", "logme", "score"),
    ("score", "h_score", "score"),
)
BASELINES = ("knn_accuracy", "rankme", "logme", "mean_of_others")
SETTINGS = ("semantic", "augs", "crop", "colorjitter", "rotation")
METRICS = ("nnk_degree", "nnk_diameter", "nnk_affinity_excess")


def write_transfer_tables(
    folder: Path,
    encoders: Sequence[FakeEncoder],
    *,
    images: Sequence[str],
    targets: Sequence[str] = TARGETS,
    ahead: int = 1,
) -> Path:
    """Write all optional tables; the metrics are ahead of the baselines on ``ahead`` targets."""
    generator = np.random.default_rng(len(encoders))
    transfer = _transfer(encoders, targets, generator)
    clusters, tree = _clusters(encoders, images, generator)
    predictions, prediction = _prediction(transfer, targets, ahead, generator)
    frames = {
        "transfer": transfer,
        "clusters": clusters,
        "cluster_tree": tree,
        "cluster_agreement": _agreement(images),
        "similarity": _similarity(encoders, images, generator),
        "predictions": predictions,
        "prediction": prediction,
        "features": _features(targets, generator),
    }
    for name, frame in frames.items():
        frame.to_parquet(folder / f"{name}.parquet", index=False)
        frame.to_csv(folder / f"{name}.csv", index=False)
    return folder


def _transfer(
    encoders: Sequence[FakeEncoder], targets: Sequence[str], generator: np.random.Generator
) -> pd.DataFrame:
    rows = []
    for number, encoder in enumerate(encoders):
        for hard, target in enumerate(targets):
            for kind, measure, metric in MEASURES:
                value = 0.9 - 0.5 * encoder.collapse - 0.08 * hard + generator.normal(0, 0.03)
                value = value if kind == "probe" else 3 * value - 2
                bounded = kind == "probe"
                rows.append(
                    {
                        "encoder": encoder.name,
                        "family": encoder.family,
                        "architecture": encoder.architecture,
                        "paradigm": encoder.paradigm,
                        "tap": "pool",
                        "images": target,
                        "kind": kind,
                        "measure": measure,
                        "metric": metric,
                        "value": value,
                        "low": value - 0.02 if bounded else np.nan,
                        "high": value + 0.02 if bounded else np.nan,
                        "level": 0.95,
                        "strength": 1e-3 if measure == "linear" else np.nan,
                        "converged": not (measure == "linear" and number == 0),
                        "n_train": 1500,
                        "n_test": 500,
                        "classes": 20,
                    }
                )
    return pd.DataFrame(rows)


def _clusters(
    encoders: Sequence[FakeEncoder], images: Sequence[str], generator: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    clusters, trees = [], []
    for image_set in images:
        points = [[e.collapse, hash_free(e.paradigm)] for e in encoders]
        noise = generator.normal(0, 0.1, (len(encoders), 2))
        linkage = hierarchy.linkage(np.array(points) + noise, "ward")
        position = np.argsort(hierarchy.leaves_list(linkage))
        group = hierarchy.cut_tree(linkage, n_clusters=min(3, len(encoders)))[:, 0] + 1
        clusters += [
            {
                "encoder": encoder.name,
                "images": image_set,
                "group": group[at],
                "position": position[at],
                "paradigm": encoder.paradigm,
                "architecture": encoder.architecture,
            }
            for at, encoder in enumerate(encoders)
        ]
        columns = ["left", "right", "height", "size"]
        trees.append(pd.DataFrame(linkage, columns=columns).assign(images=image_set))
    return pd.DataFrame(clusters), pd.concat(trees, ignore_index=True)


def hash_free(text: str) -> float:
    """A number in 0 .. 1 that is the same in every process."""
    return sum(text.encode()) % 7 / 7


def _agreement(images: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "images": image_set,
                "against": against,
                "ari": ari,
                "p_value": p_value,
                "p_any": p_value,
                "groups": groups,
                "stability": 0.81,
                "chosen": groups == 3,
            }
            for image_set in images
            for against, groups, ari, p_value in (
                ("paradigm", 3, 0.12, 0.21),
                ("paradigm", 5, 0.64, 0.02),
                ("architecture", 3, 0.0, np.nan),
            )
        ]
    )


def _similarity(
    encoders: Sequence[FakeEncoder], images: Sequence[str], generator: np.random.Generator
) -> pd.DataFrame:
    rows = []
    for image_set in images:
        for number, a in enumerate(encoders):
            for b in encoders[number + 1 :]:
                apart = abs(a.collapse - b.collapse) + 0.3 * (a.paradigm != b.paradigm)
                for measure, scale in (("mutual_knn", 0.6), ("cka", 0.9)):
                    value = scale * np.exp(-2 * apart) * generator.uniform(0.9, 1)
                    rows.append(
                        {
                            "encoder_a": a.name,
                            "encoder_b": b.name,
                            "images": image_set,
                            "measure": measure,
                            "value": value,
                            "low": value - 0.03,
                            "high": value + 0.03,
                        }
                    )
    columns = ["encoder_a", "encoder_b", "images", "measure", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def _prediction(
    transfer: pd.DataFrame, targets: Sequence[str], ahead: int, generator: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    predictions, scores = [], []
    linear = transfer.loc[transfer["measure"] == "linear"]
    for number, target in enumerate(targets):
        measured = linear.loc[linear["images"] == target].set_index("encoder")["value"]
        for held_out in ("model", "family"):
            for rank, predictors in enumerate(("mgm", *BASELINES)):
                good = 0.25 if (predictors == "mgm") == (number < ahead) else 0.9
                noise = (good + 0.1 * rank) * measured.std(ddof=0) * (1 + (held_out == "family"))
                predicted = measured + generator.normal(0, 1, len(measured)) * noise
                predictions.append(
                    pd.DataFrame(
                        {
                            "task": target,
                            "predictors": predictors,
                            "held_out": held_out,
                            "model": measured.index,
                            "measured": measured.to_numpy(),
                            "predicted": predicted.to_numpy(),
                        }
                    )
                )
                scores.append(
                    _score(predictions[-1], significant=number < ahead, mgm=predictors == "mgm")
                )
    return pd.concat(predictions, ignore_index=True), pd.DataFrame(scores)


def _score(rows: pd.DataFrame, *, significant: bool, mgm: bool) -> dict[str, object]:
    measured, predicted = rows["measured"], rows["predicted"]
    r2 = 1 - ((measured - predicted) ** 2).sum() / ((measured - measured.mean()) ** 2).sum()
    spearman = float(spearmanr(measured, predicted).statistic)  # pyright: ignore
    kendall = float(kendalltau(measured, predicted).statistic)  # pyright: ignore
    p_value = 0.002 if significant else 0.2
    return {
        **{name: rows[name].iloc[0] for name in ("task", "predictors", "held_out")},
        "models": len(rows),
        "features": 15 if mgm else 1,
        "r2": r2,
        "r2_low": r2 - 0.2,
        "r2_high": min(1.0, r2 + 0.1),
        "spearman": spearman,
        "spearman_low": spearman - 0.2,
        "spearman_high": min(1.0, spearman + 0.1),
        "kendall": kendall,
        "kendall_low": kendall - 0.2,
        "kendall_high": min(1.0, kendall + 0.1),
        "p_value": p_value if mgm else np.nan,
        "p_holm": min(1.0, 5 * p_value) if mgm else np.nan,
        "random_r2": 0.03 if mgm else np.nan,
        "random_r2_high": 0.3 if mgm else np.nan,
        **_worst(rows),
    }


def _worst(rows: pd.DataFrame) -> dict[str, object]:
    squares = (rows["measured"] - rows["predicted"]) ** 2
    return {
        "worst_model": rows["model"].loc[squares.idxmax()],
        "worst_share": squares.max() / squares.sum(),
    }


def _features(targets: Sequence[str], generator: np.random.Generator) -> pd.DataFrame:
    names = [f"{setting}.{metric}" for setting in SETTINGS for metric in METRICS]
    rows = [
        {
            "task": target,
            "feature": name,
            "coefficient": generator.normal(0, 0.04),
            "selected": float(np.clip(generator.beta(0.8, 0.8), 0, 1)),
            "sign": float(generator.uniform(0.5, 1)),
        }
        for target in targets
        for name in names
    ]
    return pd.DataFrame(rows)
