"""Do the authors' later measures of geometry add to k-NN accuracy when transfer is predicted?

    for study in conv4 zoo; do mgm run examples/variants/$study.yaml; done
    mgm run examples/imagenet_scale.yaml
    python -m benchmarks.variants_gain out/variants/conv4 out/variants/zoo out/imagenet_scale

Reads the stored features and the tables of each study. On the images of its first set, all in one
cloud, the measures of ``mgm_jax/geometry/variants`` are taken for every encoder; ridge regression
predicts the accuracy of a probe on each target from the k-NN accuracy on that target, and from it
and a set of measures. The gain is the held-out R^2 with the set less that without, models held out
one at a time, and again all models of a paradigm together. Intervals come from resampling what is
held out together, the held-out predictions staying as they are.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.knn_gain import gains, markdown, scores_and_knn
from benchmarks.measuring.timing import hardware
from mgm_jax import nnk_graph
from mgm_jax.embeddings.store import EmbeddingStore
from mgm_jax.errors import InputError
from mgm_jax.geometry.variants.angles import curvature_angles
from mgm_jax.geometry.variants.components import authors_graph, pca_components
from mgm_jax.geometry.variants.multiscale import multiscale
from mgm_jax.sweep.run.prediction import mgm_columns

RESULT = Path(__file__).parent / "results" / "variants_gain.json"

# Scales are read where this share of the points is left.
SHARES = (1.0, 0.5, 0.2)
SCALED = ("degree", "nnk_components", "diameter", "near_angle")


def variants(x: np.ndarray) -> dict[str, float]:
    """Means over one cloud ``[n, d]``, by ``set.measure``.

    ``ours`` is the graph of this package (cosine, 50 candidates), ``bandwidth rule`` the same two
    measures of theirs (Gaussian, their bandwidth, 100 candidates).
    """
    own = nnk_graph(x, k=min(50, len(x) - 1), duplicates="drop")
    theirs = authors_graph(np.asarray(x, np.float32), groups=None)
    ours = pca_components(x, graph=own)
    counted = pca_components(x, graph=theirs)
    angles = curvature_angles(x, graph=theirs)
    scaled = multiscale(x, share=0.25, scales=8)
    results = {
        "ours.degree": ours.degree,
        "ours.diameter": ours.diameter,
        "bandwidth rule.degree": counted.degree,
        "bandwidth rule.diameter": counted.diameter,
        "pca_components.nnk": counted.nnk,
        "pca_components.knn": counted.knn,
        "curvature_angles.near": angles.near_mean,
        "curvature_angles.random": angles.random_mean,
        "curvature_angles.difference": angles.difference_mean,
        "curvature_angles.difference_largest": angles.difference_largest,
    }
    means = {name: float(np.nanmean(column)) for name, column in results.items()}
    left = np.log(scaled.points.astype(np.float64))
    for share in SHARES:
        at = np.log(share * len(x))
        for name in SCALED:
            # Scales shrink; np.interp wants them to grow.
            value = np.interp(at, left[::-1], scaled.mean[name][::-1])
            means[f"multiscale.{name}@{share}"] = float(value)
    return means


def measured(folder: Path, encoders: pd.Index, *, images: str) -> pd.DataFrame:
    """The variants of every encoder of a study, a row an encoder, kept in a file of the folder."""
    kept = folder / "variants.parquet"
    if kept.exists() and set(encoders) <= set((table := pd.read_parquet(kept)).index):
        return table.loc[encoders]
    rows = {}
    for encoder in encoders:
        stores = sorted((folder / "embeddings" / str(encoder)).glob(f"{images}-semantic-*"))
        if len(stores) != 1:
            raise InputError(
                f"{folder}: expected one store of {images} for {encoder}, found {len(stores)}; run "
                "the study to its end, with one layer an encoder"
            )
        store = EmbeddingStore.open(stores[0], create=False)
        rows[encoder] = variants(np.asarray(store.read(slice(0, store.shape[0])), np.float32))
        print(f"{encoder}: {rows[encoder]['pca_components.nnk']:.2f} components", flush=True)
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.to_parquet(kept)
    return table


def feature_sets(table: pd.DataFrame, models: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The sets that are compared: those of the variants, and the semantic metrics of the study."""
    names = list(dict.fromkeys(column.partition(".")[0] for column in table))
    sets = {
        name: table[[column for column in table if column.startswith(f"{name}.")]] for name in names
    }
    semantic = [column for column in mgm_columns(models) if column.startswith("semantic.")]
    return {"semantic MGMs": models[semantic], **sets, "width": models[["width"]]}


def study_gains(folder: Path) -> dict[str, Any]:
    """All gains of one study: by what is held out together, and with the width known or not."""
    models = pd.read_parquet(folder / "models.parquet").set_index("encoder")
    transfer = pd.read_parquet(folder / "transfer.parquet")
    scores, knn = scores_and_knn(transfer)
    table = measured(folder, models.index, images=str(models["images"].iloc[0]))
    # A collapsed encoder has points of no angle under one bandwidth: NNK neighbours coincide.
    left_out = [str(one) for one in table.index[table.isna().any(axis=1)]]
    table, models = table.drop(index=left_out), models.drop(index=left_out)
    scores, knn = scores.drop(index=left_out), knn.drop(index=left_out)
    sets = feature_sets(table, models)
    several = models["width"].nunique() > 1
    if not several:
        # One width tells nothing.
        del sets["width"]
    own = pd.Series({encoder: str(encoder) for encoder in models.index})
    results: dict[str, Any] = {
        "models": len(models),
        "left_out": left_out,
        "paradigms": models["paradigm"].to_dict(),
    }
    for held_out, families in (("model", own), ("paradigm", models["paradigm"])):
        for beside, known in (("", None), ("_and_width", models[["width"]])):
            if known is not None and not several:
                continue
            rows = gains(sets, knn, scores, families, known=known)
            results[f"{held_out}_held_out{beside}"] = rows.to_dict("records")
            print(f"\n{folder.name}: a {held_out} held out{beside.replace('_', ' ')}\n")
            print(markdown(rows))
    return results


def main(folders: list[Path]) -> dict[str, Any]:
    """Compute all gains, print them as Markdown and write ``results/variants_gain.json``."""
    result: dict[str, Any] = {"hardware": hardware()}
    for folder in folders:
        result[folder.name] = study_gains(folder)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


if __name__ == "__main__":
    main([Path(folder) for folder in sys.argv[1:]])
