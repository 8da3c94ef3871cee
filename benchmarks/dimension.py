"""How fast are the estimators of local dimension beside scikit-dimension and torchid?

``python -m benchmarks.dimension`` measures 5000 points of 64, 512 and 2048 features with k = 20
and 50, on all cores, in three ways: from the points, from neighbours that are known already, and
in groups of 50, as views of images come. scikit-dimension fits local PCA to 200 of the
neighbourhoods, and 8 of the groups, and is scaled. From the points both search for the neighbours
themselves, and the search is most of the work: ``search`` columns hold what ours and that of
scikit-learn, which scikit-dimension takes, need alone, and the plain float32 product of all pairs
is the yardstick: an exact search does about that much work, half of it where every pair is scored
once. ``--d`` and ``--k`` measure some of the clouds and keep the rows of the others.

torchid, the PyTorch port, stands beside them from the points where it can be imported (it asks for
Python 3.13): its search, which is that of FAISS, of all points, and its decomposition of 200
neighbourhoods, scaled.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import warnings
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import skdim
from joblib import Parallel, delayed
from sklearn.neighbors import NearestNeighbors

from benchmarks.knn import post_relu
from benchmarks.measuring.timing import interleaved, report, reported
from mgm_jax import KnnGraph, knn_graph, local_pca
from mgm_jax.geometry.cloud.intrinsic_dimension import (
    levina_bickel,
    levina_bickel_of,
    two_nn,
    two_nn_of,
)
from mgm_jax.parallel.cpus import available_cpus

_NEIGHBOURHOODS, _GROUPS, _SIZE = 200, 8, 50
_CORES = available_cpus()

Call = Callable[[], object]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--d", type=int, nargs="+", default=[64, 512, 2048])
    parser.add_argument("--k", type=int, nargs="+", default=[20, 50])
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    again = {(d, k) for d in options.d for k in options.k}
    rows = [row for row in reported("dimension") if (row["d"], row["k"]) not in again]
    for d in options.d:
        x = post_relu(options.n, d)
        for k in options.k:
            rows += measure(x, k, turns=options.turns)
            # Written after every cloud: what was measured stays if the rest is stopped.
            report("dimension", rows)


def measure(x: np.ndarray, k: int, *, turns: int) -> list[dict[str, object]]:
    """Rows of the table for one cloud and one k."""
    n, d = x.shape
    graph = knn_graph(x, k=k, metric="euclidean")
    pairs = from_points(x, graph, k) | from_neighbours(x, graph, k) | in_groups(x)
    calls: dict[str, Call] = {
        "product": lambda: plain_product(x),
        "search": lambda: search(x, k),
        "own search": lambda: knn_graph(x, k=k, metric="euclidean"),
    }
    calls |= {f"{name}, torchid": call for name, call in by_torchid(x, k).items()}
    for name, (ours, theirs, _) in pairs.items():
        calls |= {f"{name}, ours": ours, f"{name}, theirs": theirs}
    seconds = interleaved(calls, turns=turns)
    rows = []
    for name, (_, _, share) in pairs.items():
        ours, theirs = seconds[f"{name}, ours"], seconds[f"{name}, theirs"] * share
        if name == "local PCA, from points":
            theirs += seconds["search"]
        torchid = seconds.get(f"{name}, torchid")
        if torchid is not None and name == "local PCA, from points":
            torchid = seconds["search, torchid"] + share * torchid
        rows.append(
            {
                "what": name,
                "n": n,
                "d": d,
                "k": k,
                "mgm_jax s": ours,
                "scikit-dimension s": theirs,
                "torchid s": "" if torchid is None else torchid,
                "times mgm_jax": theirs / ours,
                "torchid, times mgm_jax": "" if torchid is None else torchid / ours,
                "neighbours": "known to both" if "known" in name else "each its own",
                "mgm_jax search s": seconds["own search"] if "points" in name else "",
                "scikit-learn search s": seconds["search"] if "points" in name else "",
                "product alone s": seconds["product"] if "points" in name else "",
            }
        )
    return rows


def from_points(x: np.ndarray, graph: KnnGraph, k: int) -> dict[str, tuple[Call, Call, float]]:
    """Name to our call, theirs, and what theirs is multiplied by."""
    subset, share = graph.indices[:_NEIGHBOURHOODS], len(x) / _NEIGHBOURHOODS
    pca = skdim.id.lPCA(ver="ratio", alphaRatio=0.95)
    return {
        "TwoNN, from points": (lambda: two_nn(x), lambda: skdim.id.TwoNN().fit(x), 1),
        "Levina-Bickel, from points": (
            lambda: levina_bickel(x, k=k),
            lambda: skdim.id.MLE().fit(x, n_neighbors=k, n_jobs=_CORES),
            1,
        ),
        "local PCA, from points": (
            lambda: local_pca(x, k=k),
            lambda: pca.fit_pw(x, precomputed_knn=subset, n_neighbors=k, n_jobs=_CORES),
            share,
        ),
    }


def by_torchid(x: np.ndarray, k: int) -> dict[str, Call]:
    """What torchid makes of the points; of the local PCA the search and some neighbourhoods."""
    if importlib.util.find_spec("torchid") is None:
        return {}
    import torch

    estimators = importlib.import_module("torchid.estimators")
    parts = importlib.import_module("torchid.primitives")
    points = torch.from_numpy(x)
    subset = parts.knn(points, k=k)[1][:_NEIGHBOURHOODS]
    return {
        "TwoNN, from points": lambda: estimators.TwoNN().fit(points),
        "Levina-Bickel, from points": lambda: estimators.MLE().fit(points, n_neighbors=k),
        "search": lambda: parts.knn(points, k=k),
        "local PCA, from points": lambda: parts.batched_local_pca(
            parts.gather_neighbors(points, subset)
        ),
    }


def from_neighbours(x: np.ndarray, graph: KnnGraph, k: int) -> dict[str, tuple[Call, Call, float]]:
    """The estimators alone, the neighbours known to both."""
    subset, share = graph.indices[:_NEIGHBOURHOODS], len(x) / _NEIGHBOURHOODS
    distances = graph.distances.astype(np.float64)
    pca = skdim.id.lPCA(ver="ratio", alphaRatio=0.95)
    known = distances, graph.indices
    return {
        "TwoNN, neighbours known": (
            lambda: two_nn_of(graph),
            lambda: skdim.id.TwoNN(dist=True).fit(distances[:, :2]),
            1,
        ),
        "Levina-Bickel, neighbours known": (
            lambda: levina_bickel_of(graph),
            lambda: skdim.id.MLE().fit(x, precomputed_knn_arrays=known),
            1,
        ),
        "local PCA, neighbours known": (
            lambda: local_pca(x, graph=graph),
            lambda: pca.fit_pw(x, precomputed_knn=subset, n_neighbors=k, n_jobs=_CORES),
            share,
        ),
    }


def in_groups(x: np.ndarray) -> dict[str, tuple[Call, Call, float]]:
    """One estimate a group of 50; theirs spread over all cores by joblib, a group at a time."""
    groups = np.arange(len(x)) // _SIZE
    parts = [x[start : start + _SIZE] for start in range(0, _GROUPS * _SIZE, _SIZE)]
    share = len(x) / (_GROUPS * _SIZE)
    pca = skdim.id.lPCA(ver="ratio", alphaRatio=0.95)

    def each(fit: Callable[[np.ndarray], object]) -> Call:
        return lambda: Parallel(n_jobs=_CORES)(delayed(fit)(part) for part in parts)

    return {
        "TwoNN, in groups": (
            lambda: two_nn(x, groups=groups),
            each(lambda part: skdim.id.TwoNN().fit(part)),
            share,
        ),
        "Levina-Bickel (k 20), in groups": (
            lambda: levina_bickel(x, k=20, groups=groups),
            each(lambda part: skdim.id.MLE().fit(part, n_neighbors=20)),
            share,
        ),
        "local PCA (k 20), in groups": (
            lambda: local_pca(x, k=20, groups=groups),
            each(lambda part: pca.fit_pw(part, n_neighbors=20)),
            share,
        ),
    }


def search(x: np.ndarray, k: int) -> None:
    """The search that scikit-dimension's local PCA starts with."""
    NearestNeighbors(n_neighbors=k, n_jobs=-1).fit(x).kneighbors()


@jax.jit
def _largest(a: jax.Array, b: jax.Array) -> jax.Array:
    # One number leaves, so that nothing but the product is timed.
    return (a @ b.T).max()


def plain_product(x: np.ndarray) -> None:
    """All inner products in float32, thrown away."""
    table = jnp.asarray(x)
    for start in range(0, len(x), 500):
        _largest(table[start : start + 500], table).block_until_ready()


if __name__ == "__main__":
    main()
