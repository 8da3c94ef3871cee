"""Last stage: encoders compared with each other, and their transfer predicted from their metrics.

=================  ===========================================================================
clusters           a row an encoder and image set: its group, its position along the tree
cluster_tree       a row a merge, in SciPy's layout: left, right, height, size
cluster_agreement  a row an image set, label and cut of the tree: adjusted Rand index of groups
                   and label; the most stable cut is the one ``chosen``
similarity         a row a pair of encoders, image set and measure
prediction         a row a task, set of predictors and way of holding out: held-out scores
predictions        a row a task, set of predictors, way of holding out and model
features           a row a task and feature: coefficient and stability
=================  ===========================================================================

A table that the study gives no ground for (too few encoders, no transfer scores) is not there, and
one that an earlier run left is taken away.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mgm_jax.analysis.clusters.stability import (
    ClusterStability,
    agreement_over_cuts,
    cluster_stability,
)
from mgm_jax.analysis.similarity.models import model_similarity
from mgm_jax.embeddings import EmbeddingStore
from mgm_jax.encoders.catalogue.methods import is_guessed
from mgm_jax.errors import InputError
from mgm_jax.progress import progress
from mgm_jax.study import Study
from mgm_jax.sweep.measures.directions import have_direction
from mgm_jax.sweep.output.faults import own_files
from mgm_jax.sweep.output.tables import write_table
from mgm_jax.sweep.plan.cells import SEMANTIC, Cell, spread_over_classes
from mgm_jax.sweep.run.prediction import mgm_columns, prediction_tables

TABLES = (
    "clusters",
    "cluster_tree",
    "cluster_agreement",
    "similarity",
    "prediction",
    "predictions",
    "features",
)

#: Fewest encoders that are clustered: fewer have no groups.
MIN_CLUSTERED = 4

#: Most images that encoders are compared on: their Gram matrices are held all at once.
MAX_IMAGES = 2000

_LABELS = ("paradigm", "architecture", "family")


def compare_encoders(cells: Sequence[Cell], *, study: Study, out: Path) -> None:
    """Write the tables of the comparison from those of the stages before, and the embeddings.

    Args:
        cells: those without augmentation, all of them embedded; others do not matter.
        study: gives the seed and the options of intervals.
        out: folder of the tables ``models``, ``groups`` and, if there, ``transfer``.
    """
    taps = {cell.subject.name: chosen_tap(cell) for cell in cells}
    models = _of_taps(pd.read_parquet(out / "models.parquet"), taps)
    groups = _of_taps(pd.read_parquet(out / "groups.parquet"), taps)
    transfer = out / "transfer.parquet"
    tables: dict[str, pd.DataFrame] = {}
    with progress("compare", total=3, unit="stage") as bar:
        tables |= _cluster_tables(models, groups, study=study)
        bar.advance()
        tables |= _similarity_table(cells, taps, study=study, out=out)
        bar.advance()
        if transfer.exists():
            # Probes read the default feature, whatever taps the study measures.
            tables |= prediction_tables(models, pd.read_parquet(transfer), study=study)
        bar.advance()
    for name in TABLES:
        if name in tables:
            write_table(tables[name], out / name)
        else:
            for suffix in (".parquet", ".csv"):
                (out / f"{name}{suffix}").unlink(missing_ok=True)


def chosen_tap(cell: Cell) -> str:
    """The tap that stands for an encoder: its default feature, or else the last that is read."""
    default = cell.subject.encoder.default_tap
    return default if default in cell.subject.taps else cell.subject.taps[-1]


def _of_taps(table: pd.DataFrame, taps: dict[str, str]) -> pd.DataFrame:
    if not {"encoder", "tap"} <= set(table.columns):
        return table.iloc[:0]
    wanted = [taps.get(str(encoder)) for encoder in table["encoder"]]
    return table.loc[table["tap"].astype(str) == pd.Series(wanted, table.index)].reset_index(
        drop=True
    )


def _cluster_tables(
    models: pd.DataFrame, groups: pd.DataFrame, *, study: Study
) -> dict[str, pd.DataFrame]:
    """Clusters, tree and agreement of each image set with encoders enough."""
    clusters, trees, agreements = [], [], []
    for images, block in models.groupby("images", sort=False) if len(models) else ():
        clustered = _clusters(block, groups.loc[groups["images"] == images], study=study)
        if clustered is None:
            continue
        labels = block.set_index("encoder").loc[:, list(_LABELS)]
        rows = clustered.clusters.to_pandas().reset_index(names="encoder")
        rows.insert(1, "images", images)
        clusters.append(rows.join(labels, on="encoder"))
        tree = pd.DataFrame(clustered.clusters.linkage, columns=["left", "right", "height", "size"])
        tree = tree.astype({"left": int, "right": int, "size": int})
        tree.insert(0, "images", images)
        trees.append(tree)
        agreements += _agreements(str(images), clustered, labels, study=study)
    if not clusters:
        return {}
    return {
        "clusters": pd.concat(clusters, ignore_index=True),
        "cluster_tree": pd.concat(trees, ignore_index=True),
        "cluster_agreement": pd.DataFrame(agreements),
    }


def _clusters(
    block: pd.DataFrame, manifolds: pd.DataFrame, *, study: Study
) -> ClusterStability | None:
    if len(block) < MIN_CLUSTERED:
        return None
    metrics = block.set_index("encoder").loc[:, mgm_columns(block)]
    try:
        return cluster_stability(metrics, manifolds=manifolds, seed=study.seed)
    except InputError:
        # No column is there for every encoder (cells that failed): nothing to compare by.
        return None


def _agreements(
    images: str, clustered: ClusterStability, labels: pd.DataFrame, *, study: Study
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    stability = {
        int(row["groups"]): float(row["stability"]) for row in clustered.table.to_dict("records")
    }
    tried = sorted({clustered.groups, *stability})
    for name in _LABELS:
        named = labels.loc[list(clustered.clusters.models), name].astype(str)
        # A label that all share, or none does, is no partition to agree with.
        if min(tried) < 2 or not 1 < named.nunique() < len(named):
            continue
        # A p-value must not rest on a guess; the study's paradigm: confirms or corrects it.
        if named.map(is_guessed).any():
            continue
        cuts = agreement_over_cuts(
            clustered.clusters.linkage, named.to_numpy(), groups=tried, seed=study.seed
        )
        for cut in cuts.to_dict("records"):
            count = int(cut["groups"])
            rows.append(
                {
                    "images": images,
                    "against": name,
                    **cut,
                    "stability": stability.get(count, float("nan")),
                    "chosen": count == clustered.groups,
                    "labels": named.nunique(),
                }
            )
    if not rows:
        # The number of groups and its stability are worth a row of their own.
        rows.append(
            {
                "images": images,
                "against": "paradigm",
                "groups": clustered.groups,
                "ari": np.nan,
                "p_value": np.nan,
                "p_any": np.nan,
                "stability": clustered.stability,
                "chosen": True,
                "labels": len(set(labels["paradigm"])),
            }
        )
    return rows


def _similarity_table(
    cells: Sequence[Cell], taps: dict[str, str], *, study: Study, out: Path
) -> dict[str, pd.DataFrame]:
    """Similarity of all pairs of encoders on each image set."""
    plain = [c for c in cells if c.setting == SEMANTIC and c.tap == taps[c.subject.name]]
    parts = []
    for images in dict.fromkeys(cell.images.name for cell in plain):
        own = [cell for cell in plain if cell.images.name == images]
        if len(own) < 2:
            continue
        with own_files(out):
            embeddings = _embeddings(own, study=study, out=out)
        try:
            similarity = model_similarity(
                embeddings,
                resamples=study.metrics.resamples,
                seed=study.seed,
                level=study.metrics.level,
            )
        except InputError:
            # Too few images, or embeddings that cannot be compared, such as rows of zeros.
            continue
        table = similarity.table.copy()
        table.insert(2, "images", images)
        parts.append(table)
    return {"similarity": pd.concat(parts, ignore_index=True)} if parts else {}


def _embeddings(cells: Sequence[Cell], *, study: Study, out: Path) -> dict[str, np.ndarray]:
    """Embeddings of the images that could be read for all encoders, at most :data:`MAX_IMAGES`."""
    stores = {
        cell.subject.name: EmbeddingStore.open(
            cell.embeddings_folder(out), cell.manifest, create=False
        )
        for cell in cells
    }
    source = cells[0].images.source
    rows = spread_over_classes(source, MAX_IMAGES, seed=study.seed)
    good = ~np.any([store.failed_rows for store in stores.values()], axis=0)
    rows = rows[good[rows]]
    embeddings = {name: store.read()[rows] for name, store in stores.items()}
    if study.on_error == "skip":
        directed = np.all([have_direction(x) for x in embeddings.values()], axis=0)
        embeddings = {name: x[directed] for name, x in embeddings.items()}
    return embeddings
