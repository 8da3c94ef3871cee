"""How many NNK problems a second beside SciPy's NNLS over all cores?

``python -m benchmarks.nnk`` solves the regressions of real-shaped data: 2048-d post-ReLU points,
clustered points, and views of one image, k = 15, 50, 100. SciPy solves a share and is scaled; both
start from the same kernel matrices, so only the solvers are compared.
"""

from __future__ import annotations

import argparse
import os

import numpy as np
from joblib import Parallel, delayed
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls

from benchmarks.knn import post_relu
from benchmarks.timing import interleaved, report
from mgm_jax.geometry.nnk import SUPPORT_WEIGHT, solve_nnk


def problems(x: np.ndarray, *, k: int, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Shifted-cosine kernel matrices ``[points, k, k]`` and targets ``[points, k]``, float64."""
    x = x.astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    similarity = (1 + x[:points] @ x.T) / 2
    np.fill_diagonal(similarity, -1)
    nearest = np.argsort(-similarity, axis=1)[:, :k]
    target = np.take_along_axis(similarity, nearest, axis=1)
    kernel = np.stack([(1 + x[row] @ x[row].T) / 2 for row in nearest])
    return kernel, target


def scipy_one(kernel: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The same problem as least squares: K = L L', minimise ||L' theta - L^-1 k||."""
    factor = cholesky(kernel + 1e-12 * np.eye(len(kernel)), lower=True)
    return nnls(factor.T, solve_triangular(factor, target, lower=True))[0]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--share", type=int, default=4, help="SciPy solves one in so many")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    image = np.maximum(rng.normal(size=2048), 0)
    data = {
        "post-ReLU": post_relu(options.points + 500, 2048),
        "views of one image": np.maximum(
            image + 0.2 * rng.normal(size=(options.points + 500, 2048)), 0
        ),
    }
    rows = []
    pool = Parallel(n_jobs=os.cpu_count(), batch_size=64)
    for name, x in data.items():
        for k in (15, 50, 100):
            kernel, target = problems(x, k=k, points=options.points)
            share = options.points // options.share

            def run_scipy(kernel=kernel, target=target, share=share) -> list:
                return pool(
                    delayed(scipy_one)(a, b)
                    for a, b in zip(kernel[:share], target[:share], strict=True)
                )

            seconds = interleaved(
                {"mgm_jax": lambda a=kernel, b=target: solve_nnk(a, b), "SciPy": run_scipy},
                turns=options.turns,
            )
            seconds["SciPy"] *= options.points / share
            ours, theirs = solve_nnk(kernel[:share], target[:share]).theta, np.stack(run_scipy())
            same = np.mean(((ours > SUPPORT_WEIGHT) == (theirs > SUPPORT_WEIGHT)).all(1))
            rows.append(
                {
                    "data": name,
                    "k": k,
                    "degree": float(np.mean((ours > SUPPORT_WEIGHT).sum(1))),
                    "mgm_jax points/s": options.points / seconds["mgm_jax"],
                    "SciPy points/s": options.points / seconds["SciPy"],
                    "ratio": seconds["SciPy"] / seconds["mgm_jax"],
                    "equal supports": float(same),
                }
            )
    report("nnk", rows)


if __name__ == "__main__":
    main()
