"""How fast are the metrics of many manifolds, beside the NNK solve alone and plain NumPy/SciPy?

``python -m benchmarks.manifold`` measures 200 groups of 50 points in 2048-d, the shape of a
validation set by class; ``--groups 1000`` is that of ImageNet's. Two kinds of data: groups of a low
intrinsic dimension, as classes have, and groups of points that have little in common, whose degrees
are high. The NNK solve alone starts from ready kernel matrices of some of the groups and is scaled.
The plain implementation is the oracle of the tests, one point after the other, with linear algebra
on one thread, which is faster for small matrices; it measures one group and is scaled. Last come
the seconds that points of one more width take to compile.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from benchmarks.knn import post_relu
from benchmarks.measuring.timing import interleaved, report
from benchmarks.nnk import problems
from mgm_jax import manifold_metrics
from mgm_jax.geometry.backend.workers import one_thread_a_product
from mgm_jax.geometry.nnk.solve import solve_nnk
from tests.metrics.oracle import oracle

_RANK = 20


def of_low_dimension(n: int, d: int, *, seed: int = 0) -> np.ndarray:
    """Non-negative features of 20 latent directions and some noise, ``[n, d]`` float32."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, _RANK)) @ rng.normal(size=(_RANK, d)) / np.sqrt(_RANK)
    return np.maximum(latent + 0.3 * rng.normal(size=(n, d)), 0).astype(np.float32)


KINDS: dict[str, Callable[[int, int], np.ndarray]] = {
    "low dimension": of_low_dimension,
    "little in common": post_relu,
}


def rows_of(kind: str, options: argparse.Namespace) -> list[dict[str, object]]:
    """Measure one kind of data; a row a contestant."""
    n = options.groups * options.size
    x = KINDS[kind](n, options.d)
    groups = np.repeat(np.arange(options.groups), options.size)
    share = min(20, options.groups)
    parts = [slice(start, start + options.size) for start in range(0, n, options.size)]
    solved = [problems(x[part], k=options.size - 1, points=options.size) for part in parts[:share]]
    kernel, target = (np.concatenate(arrays) for arrays in zip(*solved, strict=True))
    one = parts[0]

    def plain() -> None:
        with one_thread_a_product():
            oracle(x[one], groups[one])

    seconds = interleaved(
        {
            "manifold_metrics": lambda: manifold_metrics(x, groups=groups),
            "NNK solve alone": lambda: solve_nnk(kernel, target),
            "plain NumPy and SciPy": plain,
        },
        turns=options.turns,
    )
    seconds["NNK solve alone"] *= options.groups / share
    seconds["plain NumPy and SciPy"] *= options.groups
    degree = float(manifold_metrics(x[one]).nnk_degree.mean())
    return [
        {
            "data": kind,
            "groups": options.groups,
            "points a group": options.size,
            "d": options.d,
            "mean degree": degree,
            "who": name,
            "seconds": value,
            "points/s": n / value,
            "times manifold_metrics": value / seconds["manifold_metrics"],
            "times NNK alone": value / seconds["NNK solve alone"],
        }
        for name, value in seconds.items()
    ]


def compile_seconds(options: argparse.Namespace) -> dict[str, float]:
    """Seconds beyond those of a second call that points of a first and a further width take."""
    seconds = {}
    groups = np.repeat(np.arange(options.groups), options.size)
    for name, d in (("first width", options.d), ("further width", options.d + 8)):
        x = of_low_dimension(groups.size, d)
        times = []
        for _ in range(2):
            start = time.perf_counter()
            manifold_metrics(x, groups=groups)
            times.append(time.perf_counter() - start)
        seconds[name] = times[0] - times[1]
    return seconds


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=200)
    parser.add_argument("--size", type=int, default=50)
    parser.add_argument("--d", type=int, default=2048)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    compiled = compile_seconds(options)
    rows = [row for kind in KINDS for row in rows_of(kind, options)]
    rows += [{"who": f"compiling, {name}", "seconds": value} for name, value in compiled.items()]
    report("manifold", rows)


if __name__ == "__main__":
    main()
