"""How fast are the metrics of many manifolds, beside the NNK solve alone and plain NumPy/SciPy?

``python -m benchmarks.manifold`` measures 200 groups of 50 points in 2048-d, the shape of a
validation set by class; ``--groups 1000`` is that of ImageNet's. The plain implementation is the
oracle of the tests, one point after the other; it measures one group and is scaled.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.knn import post_relu
from benchmarks.nnk import problems
from benchmarks.timing import interleaved, report
from mgm_jax import manifold_metrics
from mgm_jax.geometry.nnk import solve_nnk
from tests.metrics.oracle import oracle


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=200)
    parser.add_argument("--size", type=int, default=50)
    parser.add_argument("--d", type=int, default=2048)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    n = options.groups * options.size
    x = post_relu(n, options.d)
    groups = np.repeat(np.arange(options.groups), options.size)
    one = slice(0, options.size)
    kernel, target = problems(x[one], k=options.size - 1, points=options.size)
    share = min(20, options.groups)
    kernel, target = np.tile(kernel, (share, 1, 1)), np.tile(target, (share, 1))
    seconds = interleaved(
        {
            "manifold_metrics": lambda: manifold_metrics(x, groups=groups),
            "NNK solve alone": lambda: solve_nnk(kernel, target),
            "plain NumPy and SciPy": lambda: oracle(x[one], groups[one]),
        },
        turns=options.turns,
    )
    seconds["NNK solve alone"] *= options.groups / share
    seconds["plain NumPy and SciPy"] *= options.groups
    report(
        "manifold",
        [
            {
                "groups": options.groups,
                "points a group": options.size,
                "d": options.d,
                "who": name,
                "seconds": value,
                "points/s": n / value,
                "times manifold_metrics": value / seconds["manifold_metrics"],
            }
            for name, value in seconds.items()
        ],
    )


if __name__ == "__main__":
    main()
