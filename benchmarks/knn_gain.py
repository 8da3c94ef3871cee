"""Which geometry adds to k-NN accuracy when transfer is predicted? Held out, with intervals.

    python -m benchmarks.knn_gain out/knn_gain

Reads the tables of the three studies in ``examples/knn_gain``. Models are encoders at several
epochs; all epochs of a run, and all seeds of a method on a backbone, are held out together. For
each set of features ridge regression predicts the probe's accuracy on a target from the set and
the k-NN accuracy; the gain is its held-out R^2 less that of the k-NN accuracy alone, and once more
with the width known to both, which tells the networks of the zoo apart. Intervals come from
resampling the runs, the held-out predictions staying as they are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measuring.timing import hardware
from benchmarks.zoo.names import parse_name
from mgm_jax.analysis.transfer.agreement import r2
from mgm_jax.analysis.transfer.predict import predict_transfer
from mgm_jax.errors import InputError
from mgm_jax.sweep.run.prediction import mgm_columns, task_scores

RESULT = Path(__file__).parent / "results" / "knn_gain.json"

#: Metrics of a layer that make its profile, and the relative depths it is read at.
PROFILE = ("rankme", "mean_cosine", "knn_accuracy", "semantic.nnk_degree", "semantic.nnk_diameter")
DEPTHS = (0.0, 0.25, 0.5, 0.75)
SPECTRA = ("rankme", "alpha_req", "nesum")

_RESAMPLES = 2000


def feature_sets(
    raw: pd.DataFrame, centred: pd.DataFrame, layers: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """The sets that are compared, one row an encoder.

    Args:
        raw: table ``models`` of the first study, indexed by encoder.
        centred: that of the second.
        layers: that of the third, a row an encoder and layer.
    """
    own = mgm_columns(raw)
    return {
        "MGMs": raw[own],
        "relative diameter": raw[[c for c in own if c.endswith(".relative_diameter")]],
        "affinity excess": raw[[c for c in own if c.endswith(".nnk_affinity_excess")]],
        "MGMs of centred features": centred[mgm_columns(centred)],
        "layer profiles": profiles(layers),
        "spectra": raw[list(SPECTRA)],
        # The control: all that this column says is which of the two networks an encoder is.
        "width": raw[["width"]],
    }


def profiles(layers: pd.DataFrame) -> pd.DataFrame:
    """Metrics of layers read at common relative depths, because backbones differ in their number.

    Args:
        layers: a row an encoder and layer, layers from first to last.
    """
    rows = {}
    for encoder, block in layers.groupby("encoder", sort=False):
        depths = np.linspace(0.0, 1.0, len(block))
        rows[encoder] = {
            f"{metric}@{depth}": np.interp(depth, depths, block[metric].to_numpy(np.float64))
            for metric in PROFILE
            for depth in DEPTHS
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def families_of(encoders: pd.Index) -> pd.Series:
    """Method and backbone of each encoder: ``simclr-vit`` of ``simclr-vit-s0-e02``."""
    families = {}
    for encoder in encoders:
        name = parse_name(str(encoder))
        if name is None or name.epoch is None:
            raise InputError(f"encoders: expected names such as simclr-vit-s0-e02, got {encoder}")
        families[encoder] = name.family
    return pd.Series(families)


def gains(
    sets: Mapping[str, pd.DataFrame],
    knn: pd.Series | pd.DataFrame,
    scores: pd.DataFrame,
    families: pd.Series,
    *,
    known: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Gain in held-out R^2 of each set over the k-NN accuracy, a row a set and target.

    Args:
        sets: features by name, one row an encoder.
        knn: k-NN accuracy of each encoder, or a column a target.
        scores: accuracy of a probe, a column a target.
        families: encoders of one family are held out together.
        known: features that stand beside the k-NN accuracy with every set and without.
    """
    rows = []
    start = None if known is None else _held_out(known, knn, scores, families)
    for name, features in sets.items():
        if known is not None and set(features) <= set(known):
            continue
        together = features if known is None else features.join(known)
        predicted = _held_out(together, knn, scores, families)
        for task, wide in predicted.items():
            truth = wide["measured"].to_numpy()
            without = wide["k-NN"] if start is None else start[task].loc[wide.index, "set + k-NN"]
            low, gain, high, share = gain_interval(
                truth,
                wide["set + k-NN"].to_numpy(),
                without.to_numpy(),
                families.loc[wide.index].to_numpy(),
            )
            rows.append(
                {
                    "set": name,
                    "features": features.shape[1],
                    "task": task,
                    "r2_knn": float(r2(truth, without.to_numpy())),
                    "r2_set": float(r2(truth, wide["set"].to_numpy())),
                    "gain": gain,
                    "low": low,
                    "high": high,
                    "resamples_above_0": share,
                }
            )
    return pd.DataFrame(rows)


def _held_out(
    features: pd.DataFrame,
    knn: pd.Series | pd.DataFrame,
    scores: pd.DataFrame,
    families: pd.Series,
) -> dict[str, pd.DataFrame]:
    """Predictions from the features, the k-NN accuracy and both, by target, a row an encoder."""
    predicted = predict_transfer(
        features,
        scores,
        families=families,
        baselines={"k-NN": knn},
        name="set",
        # The width, of which it is asked what it tells.
        diagnostics=True,
        permutations=1,
        random_sets=1,
        resamples=10,
    ).predictions
    predicted = predicted[predicted["held_out"] == "family"]
    tables = {}
    for task, block in predicted.groupby("task", sort=False):
        wide = block.pivot(index="model", columns="predictors", values="predicted")
        measured = block.drop_duplicates("model").set_index("model")["measured"]
        tables[str(task)] = wide.assign(measured=measured)
    return tables


def gain_interval(
    truth: np.ndarray, with_set: np.ndarray, without: np.ndarray, families: np.ndarray
) -> tuple[float, float, float, float]:
    """Lower end, gain, upper end (95 %), and share of resamples of families above 0."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(families == family) for family in np.unique(families)]
    drawn = []
    for _ in range(_RESAMPLES):
        rows = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        # Families drawn again and again may leave scores without spread, of which R^2 says nothing.
        if np.ptp(truth[rows]) > 1e-9:
            drawn.append(r2(truth[rows], with_set[rows]) - r2(truth[rows], without[rows]))
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    gain = float(r2(truth, with_set) - r2(truth, without))
    return float(low), gain, float(high), float(np.mean(np.array(drawn) > 0))


def scores_and_knn(transfer: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of the probes and k-NN accuracies, a row an encoder, a column a target each."""
    scores = task_scores(transfer)
    neighbours = transfer[(transfer["measure"] == "knn") & (transfer["metric"] == "top1")]
    knn = neighbours.pivot(index="encoder", columns="images", values="value")
    # Scores of a target are called ``target · probe``.
    knn.columns = [
        next(task for task in scores.columns if task.startswith(f"{name} ·"))
        for name in knn.columns
    ]
    return scores, knn


def main(folder: Path) -> dict[str, Any]:
    """Compute all gains, print them as Markdown and write ``results/knn_gain.json``."""
    tables = {
        name: pd.read_parquet(folder / name / "models.parquet")
        for name in ("metrics", "centred", "layers")
    }
    raw, centred = (tables[name].set_index("encoder") for name in ("metrics", "centred"))
    transfer = pd.read_parquet(folder / "metrics" / "transfer.parquet")
    scores, target_knn = scores_and_knn(transfer)
    families = families_of(raw.index)
    sets = feature_sets(raw, centred.loc[raw.index], tables["layers"])
    result: dict[str, Any] = {
        "hardware": hardware(),
        "models": len(raw),
        "families": int(families.nunique()),
    }
    for label, knn in (("source", raw["knn_accuracy"]), ("target", target_knn)):
        for beside, known in (("", None), ("_and_width", raw[["width"]])):
            table = gains(sets, knn, scores, families, known=known)
            result[f"knn_on_{label}{beside}"] = table.to_dict("records")
            print(f"\nGain over the k-NN accuracy on the {label}{beside.replace('_', ' ')}\n")
            print(markdown(table))
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    return result


def markdown(table: pd.DataFrame) -> str:
    """A row a set, a column a target: gain and interval."""
    tasks = list(dict.fromkeys(table["task"]))
    lines = ["| added to k-NN | " + " | ".join(tasks) + " |", "|---" * (len(tasks) + 1) + "|"]
    alone = table.drop_duplicates("task").set_index("task")["r2_knn"]
    cells = " | ".join(f"R² {alone[task]:.2f}" for task in tasks)
    lines.append(f"| nothing | {cells} |")
    for name, block in table.groupby("set", sort=False):
        own = block.set_index("task").loc[tasks]
        cells = " | ".join(
            f"{row.gain:+.2f} ({row.low:+.2f} to {row.high:+.2f})" for row in own.itertuples()
        )
        lines.append(f"| {name} ({block['features'].iloc[0]}) | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
