"""How many NNK problems a second beside SciPy's NNLS over all cores, and beside Optax's?

``python -m benchmarks.nnk`` solves the regressions of real-shaped data: 2048-d post-ReLU points,
views of one image, and tight clusters, k = 15, 50, 100, 200. All start from the same kernel
matrices, so only the solvers are compared. SciPy solves a share over all cores with joblib.
Optax's accelerated projected gradient solves a smaller one in float64, all points at once, with as
many iterations as the goal for the KKT violation takes, up to a limit; ``KKT`` columns hold the
largest violation that each left. Where Optax has not got there within the limit, it would need
longer still, and its ratio is a lower bound. ``--data`` and ``--k`` measure some and keep the rows
of the others, for machines that are quiet for minutes only. ``--graph`` measures what users call,
``nnk_graph`` from points, of one cloud and of groups of k + 1, as views of images come. Beside it
stands SciPy over all cores twice: from ready kernel matrices, a bar that grants it the search and
the products, and from the points like us: neighbours by scikit-learn (in a group all others), a
product for each point (one for each group), and the same solver.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from joblib import Parallel, delayed
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls
from sklearn.neighbors import NearestNeighbors

from benchmarks.knn import post_relu
from benchmarks.measuring.timing import interleaved, report, reported
from mgm_jax import nnk_graph
from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.nnk.solve import SUPPORT_WEIGHT, solve_nnk
from mgm_jax.parallel.cpus import available_cpus

GOAL = 1e-12
"""KKT violation at which Optax may stop: a thousand times what the exact solvers leave."""


def views_of_one_image(n: int, d: int, *, seed: int = 0) -> np.ndarray:
    """Non-negative features that differ by a fifth of their spread, [n, d]."""
    rng = np.random.default_rng(seed)
    image = np.maximum(rng.normal(size=d), 0)
    return np.maximum(image + 0.2 * rng.normal(size=(n, d)), 0)


def clustered(n: int, d: int, *, seed: int = 0) -> np.ndarray:
    """Tight clusters of about 40 points, so that candidates come from several, [n, d]."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n // 40, d))
    return centres[rng.integers(0, len(centres), n)] + 0.3 * rng.normal(size=(n, d))


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


def least_squares(kernel: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same problem as least squares: K = L L', minimise ||L' theta - L^-1 k||."""
    factor = cholesky(kernel, lower=True)
    return factor.T, solve_triangular(factor, target, lower=True)


def scipy_one(kernel: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Weights of one point by the active-set method of SciPy."""
    return nnls(*least_squares(kernel, target))[0]


def scipy_subset(kernel: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Weights of some points, one after the other: one task of a worker."""
    return np.stack([scipy_one(*pair) for pair in zip(kernel, target, strict=True)])


def violation(kernel: np.ndarray, target: np.ndarray, theta: np.ndarray) -> float:
    """Largest of ``|min(theta, K theta - k)|``."""
    slope = np.einsum("bjl,bl->bj", kernel, theta) - target
    return float(np.abs(np.minimum(theta, slope)).max())


def optax_solver(
    kernel: np.ndarray, target: np.ndarray, *, most: int
) -> tuple[Callable[[], np.ndarray], int]:
    """Return a call that solves all points at once, and the iterations that it takes."""
    factors, right = map(np.stack, zip(*map(least_squares, kernel, target), strict=True))
    iterations = 125

    def call(solve: Callable[..., jax.Array]) -> np.ndarray:
        with double_precision():
            return np.asarray(solve(jnp.asarray(factors), jnp.asarray(right)))

    while True:
        solve = jax.jit(jax.vmap(partial(optax.nnls, iters=iterations)))
        if violation(kernel, target, call(solve)) <= GOAL or iterations >= most:
            return partial(call, solve), iterations
        iterations = min(2 * iterations, most)


def on_all_cores(
    pool: Parallel, kernel: np.ndarray, target: np.ndarray
) -> Callable[[], np.ndarray]:
    """Return a call of SciPy's solver that spreads the points over all cores."""
    tasks = 4 * available_cpus()

    def call() -> np.ndarray:
        shares = zip(np.array_split(kernel, tasks), np.array_split(target, tasks), strict=True)
        parts: Any = pool(delayed(scipy_subset)(*share) for share in shares)
        return np.concatenate(parts)

    return call


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Points on the unit sphere, float64."""
    wide = x.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def scipy_rows(x: np.ndarray, rows: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """Weights of some points of a cloud of unit rows on their neighbours: one task of a worker."""
    weights = []
    for row, chosen in zip(rows, nearest, strict=True):
        near = x[chosen]
        weights.append(scipy_one((1 + near @ near.T) / 2, (1 + near @ x[row]) / 2))
    return np.stack(weights)


def scipy_groups(groups: np.ndarray) -> np.ndarray:
    """Weights of all points of some groups ``[g, m, d]`` on the others of their group."""
    weights = []
    for group in groups:
        x = unit_rows(group)
        similarity = (1 + x @ x.T) / 2
        for position in range(len(x)):
            rest = np.delete(np.arange(len(x)), position)
            weights.append(scipy_one(similarity[np.ix_(rest, rest)], similarity[position, rest]))
    return np.stack(weights)


def cloud_from_points(pool: Parallel, x: np.ndarray, *, k: int) -> Callable[[], object]:
    """Return a call of search, products and SciPy for all points of a cloud."""
    tasks = 4 * available_cpus()

    def call() -> object:
        unit = unit_rows(x)
        nearest = NearestNeighbors(n_neighbors=k + 1, algorithm="brute", n_jobs=-1).fit(unit)
        result = np.asarray(nearest.kneighbors(unit, return_distance=False))[:, 1:]
        rows = np.array_split(np.arange(len(x)), tasks)
        parts = zip(rows, np.array_split(result, tasks), strict=True)
        return pool(delayed(scipy_rows)(unit, *part) for part in parts)

    return call


def groups_from_points(pool: Parallel, x: np.ndarray, *, size: int) -> Callable[[], object]:
    """Return a call of products and SciPy for all groups of a size."""
    parts = np.array_split(x.reshape(-1, size, x.shape[1]), available_cpus())
    return lambda: pool(delayed(scipy_groups)(part) for part in parts)


def graphs(data: dict[str, np.ndarray], options: argparse.Namespace, pool: Parallel) -> None:
    """Measure and report ``nnk_graph`` of all points, each turn beside SciPy."""
    again = {(name, k) for name in data for k in options.k}
    rows = [row for row in reported("nnk_graph") if (row["data"], row["k"]) not in again]
    few = options.scipy_points
    for name, x in data.items():
        x = x.astype(np.float32)
        for k in options.k:
            kernels = on_all_cores(pool, *problems(x, k=k, points=few))
            size = k + 1
            # The points beyond the last whole group are left out.
            part = x[: len(x) // size * size]
            labels = np.arange(len(part)) // size
            seconds = interleaved(
                {
                    "cloud": partial(nnk_graph, x, k=k),
                    "groups": partial(nnk_graph, part, k=k, groups=labels),
                    "kernels": kernels,
                    "cloud, SciPy": cloud_from_points(pool, x, k=k),
                    "groups, SciPy": groups_from_points(pool, part, size=size),
                },
                turns=options.turns,
            )
            bare = few / seconds["kernels"]
            for layout, who, points in (
                ("one cloud", "cloud", len(x)),
                ("groups of k + 1", "groups", len(part)),
            ):
                ours, theirs = points / seconds[who], points / seconds[f"{who}, SciPy"]
                rows.append(
                    {
                        "data": name,
                        "k": k,
                        "points": layout,
                        "nnk_graph points/s": ours,
                        "SciPy from points, points/s": theirs,
                        "SciPy from kernels, points/s": bare,
                        "times SciPy from points": ours / theirs,
                        "times SciPy from kernels": ours / bare,
                    }
                )
            report("nnk_graph", rows)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--k", type=int, nargs="+", default=[15, 50, 100, 200])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--scipy-points", type=int, default=400)
    parser.add_argument("--optax-points", type=int, default=16)
    parser.add_argument("--optax-iterations", type=int, default=16_000, help="at most")
    parser.add_argument("--data", nargs="+", help="kinds to measure; all where left out")
    parser.add_argument("--graph", action="store_true", help="measure nnk_graph from points")
    options = parser.parse_args()
    n = options.points + 500
    data = {
        "post-ReLU": post_relu(n, 2048),
        "views of one image": views_of_one_image(n, 2048),
        "clustered": clustered(n, 2048),
    }
    if options.data:
        data = {name: data[name] for name in options.data}
    pool = Parallel(n_jobs=available_cpus())
    if options.graph:
        graphs(data, options, pool)
        return
    again = {(name, k) for name in data for k in options.k}
    rows = [row for row in reported("nnk") if (row["data"], row["k"]) not in again]
    for name, x in data.items():
        for k in options.k:
            kernel, target = problems(x, k=k, points=options.points)
            few, fewer = options.scipy_points, options.optax_points
            run_optax, iterations = optax_solver(
                kernel[:fewer], target[:fewer], most=options.optax_iterations
            )
            run_scipy = on_all_cores(pool, kernel[:few], target[:few])
            seconds = interleaved(
                {
                    "mgm_jax": partial(solve_nnk, kernel, target),
                    "SciPy": run_scipy,
                    "Optax": run_optax,
                },
                turns=options.turns,
            )
            rate = {
                "mgm_jax": options.points / seconds["mgm_jax"],
                "SciPy": few / seconds["SciPy"],
                "Optax": fewer / seconds["Optax"],
            }
            ours, theirs = solve_nnk(kernel, target), run_scipy()
            support = ours.theta > SUPPORT_WEIGHT
            left = violation(kernel[:fewer], target[:fewer], run_optax())
            rows.append(
                {
                    "data": name,
                    "k": k,
                    "degree": float(support.sum(axis=1).mean()),
                    "mgm_jax points/s": rate["mgm_jax"],
                    "SciPy points/s": rate["SciPy"],
                    "Optax points/s": rate["Optax"],
                    "times SciPy": rate["mgm_jax"] / rate["SciPy"],
                    "times Optax": rate["mgm_jax"] / rate["Optax"],
                    "KKT mgm_jax": float(ours.kkt.max()),
                    "KKT SciPy": violation(kernel[:few], target[:few], theirs),
                    "KKT Optax": left,
                    "Optax iterations": iterations,
                    "Optax got there": left <= GOAL,
                    "solved by the fallback": float(ours.fallback.mean()),
                    "supports as SciPy": float(
                        np.mean((support[:few] == (theirs > SUPPORT_WEIGHT)).all(axis=1))
                    ),
                }
            )
            # Written after every row: what was measured stays if the rest is stopped.
            report("nnk", rows)


if __name__ == "__main__":
    main()
