"""Logistic regression at many penalties of regularisation, solved as one problem.

All penalties share the features, so their weights stand side by side on the class axis and one
product serves them all. Three things keep the products few:

* Coordinates. With ``X'X = Q diag(l) Q'`` the Hessian of penalty s is at most
  ``Q diag(l / 2 + s) Q'`` (Boehning 1992), so in the variables ``V = (h l + s)^1/2 Q'W`` with
  h = 1/2 no direction is steeper than 1. As the classes come apart h falls by orders of magnitude,
  to the mean of ``p (1 - p)``; where it has fallen far, the coordinates are renewed. L-BFGS then
  needs few steps, at any penalty.
* Starts. Every eighth penalty starts from zero; those between start half-way between two
  solutions, and often are one.
* A stop that means something. The problem is strongly convex, so that its objective lies at most
  ``|gradient|^2 / (2 s)`` above the least one (the duality gap). A penalty leaves the stack when
  that is a small share of its objective.

A line search tries one step for each penalty at a time, so that no penalty waits for another.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mgm_jax.probe.logistic.problem import Problem
from mgm_jax.probe.logistic.stack import Lanes, begin, renew, subset
from mgm_jax.progress import Bar, progress

# Every so many penalties one starts from zero; then the gaps are halved.
_STRIDE = 8
# Stacks are filled up to one of few sizes, so that few are compiled; where a product takes longer
# than a compilation, to one of more.
_FEW_SIZES, _MORE_SIZES = (1, 6, 24), (1, 2, 3, 6, 12, 24)
_LARGE_PRODUCT = 1e9
# What the curvature is at most, by Boehning's bound; and the first step where it is a mean.
_BOUND, _CAREFUL = 0.5, 0.1
# Evaluations between two looks at the curvature, and by what factor it must have changed.
_LOOK, _CHANGE = 10, 3.0
# Least curvature that float32 makes something of.
_FLATTEST = 1e-10
# A step halved below this is lost in rounding.
_MIN_STEP = 2.0**-20


class PathSolution(NamedTuple):
    """One solution a penalty.

    Attributes:
        weights: ``[s, d, c]`` float32.
        intercepts: ``[s, c]`` float32.
        objective: ``sum_i loss_i + penalty / 2 |W|^2`` at the solution, ``[s]`` float64.
        gradient: Euclidean norm of its gradient by weights and intercepts, ``[s]`` float64.
        excess: share by which the objective may lie above the least one, ``[s]`` float64.
        steps: evaluations of loss and gradient, ``[s]``.
        converged: whether the excess fell below the tolerance, ``[s]`` bool.
    """

    weights: np.ndarray
    intercepts: np.ndarray
    objective: np.ndarray
    gradient: np.ndarray
    excess: np.ndarray
    steps: np.ndarray
    converged: np.ndarray


def solve_path(
    problem: Problem,
    penalties: np.ndarray,
    *,
    tolerance: float = 5e-5,
    most_steps: int = 1000,
    start: tuple[np.ndarray, np.ndarray] | None = None,
) -> PathSolution:
    """Solve ``min sum_i loss_i(W, b) + penalty / 2 |W|^2`` for every penalty.

    Args:
        problem: from :func:`~mgm_jax.probe.logistic.problem.prepare`.
        penalties: ``[s]`` ascending, above 0; scikit-learn's C is one over it.
        tolerance: share by which an objective may lie above the least one, as far as its
            gradient tells.
        most_steps: evaluations after which a penalty is given up as not converged.
        start: weights ``[d, c]`` and intercepts ``[c]`` to start all penalties from.

    Returns:
        The solutions, in the order of the penalties.
    """
    penalties = np.asarray(penalties, np.float64)
    solver = _Path(problem, penalties, tolerance, most_steps)
    with progress("linear probes", total=penalties.size, unit="penalty", compiles=True) as bar:
        if start is not None:
            first = solver.from_features(*start)
            solver.solve(np.arange(penalties.size), np.repeat(first[None], penalties.size, 0), bar)
        else:
            for lanes, points in solver.halvings():
                solver.solve(lanes, points, bar)
    return solver.solution()


class _Path:
    """All penalties of one problem; solutions are kept in coordinates that they share."""

    def __init__(
        self, problem: Problem, penalties: np.ndarray, tolerance: float, most_steps: int
    ) -> None:
        self.problem, self.penalties = problem, penalties
        self.tolerance, self.most_steps = tolerance, most_steps
        count, width = penalties.size, problem.data.width
        rank = problem.squares.size
        self.curvature = np.full(count, _BOUND)
        self.ridge = np.zeros((count, width), np.float32)
        self.ridge[:, :rank] = penalties[:, None]
        large = problem.data.count * width * problem.classes > _LARGE_PRODUCT
        self.sizes = _MORE_SIZES if large else _FEW_SIZES
        self.points = np.zeros((count, width, problem.classes), np.float32)
        self.objective = np.full(count, np.inf)
        self.squared = np.full((count, 2), np.inf)
        self.excess = np.full(count, np.inf)
        self.steps = np.zeros(count, int)

    def scale(self, lanes: np.ndarray) -> np.ndarray:
        """Weights over the solver's coordinates, ``[s, r']`` float32."""
        rank, curvature = self.problem.squares.size, self.curvature[lanes, None]
        scale = np.ones((lanes.size, self.problem.data.width), np.float32)
        ridge = self.penalties[lanes, None]
        scale[:, :rank] = 1 / np.sqrt(curvature * self.problem.squares + ridge)
        scale[:, rank:][:, :1] = 1 / np.sqrt(curvature * self.problem.rows)
        return scale

    def halvings(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Lanes and their starts: some from zero, then those half-way between two solutions."""
        count, stride = self.penalties.size, _STRIDE
        lanes = np.arange(0, count, stride)
        yield lanes, np.zeros_like(self.points[lanes])
        while stride > 1:
            stride //= 2
            lanes = np.arange(stride, count, 2 * stride)
            below, above = lanes - stride, np.minimum(lanes + stride, count - 1)
            # The last lane may have no neighbour above that is solved.
            above = np.where(above == lanes + stride, above, below)
            self.curvature[lanes] = np.sqrt(self.curvature[below] * self.curvature[above])
            yield lanes, (self.points[below] + self.points[above]) / 2

    def solve(self, lanes: np.ndarray, points: np.ndarray, bar: Bar) -> None:
        """Solve some penalties together; those that are done leave the stack."""
        if not lanes.size:
            return
        data, rank = self.problem.data, self.problem.squares.size
        padded = _padded(np.arange(lanes.size), self.sizes)
        slots, live = lanes[padded], np.arange(padded.size) < lanes.size
        scale = self.scale(slots)
        state = begin(
            *data.device_put((points[padded] / scale[:, :, None], self._first_steps(slots)))
        )
        for turn in itertools.count(1):
            state = data.advance(state, scale, self.ridge[slots], rank=rank)
            index = np.flatnonzero(live)
            ids = slots[index]
            self.objective[ids] = np.asarray(state.value, np.float64)[index]
            self.squared[ids] = np.asarray(state.squared, np.float64)[index]
            self.excess[ids] = self._excess(ids)
            self.steps[ids] += 1
            done = (self.excess[ids] <= self.tolerance) | (self.steps[ids] >= self.most_steps)
            done |= np.asarray(state.step)[index] < _MIN_STEP
            if done.any():
                bar.advance(int(done.sum()))
                self.points[ids[done]] = (
                    np.asarray(state.point)[index[done]] * scale[index[done], :, None]
                )
                self.curvature[ids[done]] = self._measured(state)[index[done]]
                live[index[done]] = False
                if not live.any():
                    break
                kept = _padded(np.flatnonzero(live), self.sizes)
                # Moving a stack costs as much as a step: it moves when it becomes smaller.
                if kept.size < slots.size:
                    state = subset(state, data.device_put(kept))
                    slots, scale = slots[kept], scale[kept]
                    live = np.arange(kept.size) < live.sum()
            if turn % _LOOK == 0:
                state, scale = self._renewed(state, slots, scale)

    def _measured(self, state: Lanes) -> np.ndarray:
        """Mean of ``p (1 - p)`` over rows and classes, of each slot."""
        curved = np.asarray(state.curved, np.float64)
        return np.maximum(curved / (self.problem.rows * self.problem.classes), _FLATTEST)

    def _renewed(
        self, state: Lanes, slots: np.ndarray, scale: np.ndarray
    ) -> tuple[Lanes, np.ndarray]:
        """New coordinates for the slots whose curvature has changed by much."""
        measured = self._measured(state)
        change = np.abs(np.log(measured / self.curvature[slots])) > np.log(_CHANGE)
        if not change.any():
            return state, scale
        self.curvature[slots[change]] = measured[change]
        new = np.where(change[:, None], self.scale(slots), scale)
        device_put = self.problem.data.device_put
        return renew(state, *device_put((scale / new, change, self._first_steps(slots)))), new

    def _first_steps(self, slots: np.ndarray) -> np.ndarray:
        """Lengths of the first steps: a mean curvature promises less than a bound of it."""
        return np.where(self.curvature[slots] == _BOUND, 1.0, _CAREFUL).astype(np.float32)

    def _excess(self, lanes: np.ndarray) -> np.ndarray:
        """Share above the least objective: the duality gap, at most, if intercepts were at rest.

        Intercepts have no ridge. What their gradient could still bring is estimated with their
        curvature, which is about the loss where that is small, and at most half the rows; a tenth
        of it, because weights may move along.
        """
        by_weights = self.squared[lanes, 0] / (2 * self.penalties[lanes])
        curvature = 0.1 * np.minimum(self.objective[lanes], self.problem.rows / 2)
        by_intercepts = self.squared[lanes, 1] / (2 * curvature)
        return (by_weights + by_intercepts) / self.objective[lanes]

    def from_features(self, weights: np.ndarray, intercepts: np.ndarray) -> np.ndarray:
        """A point of the shared coordinates ``[r', c]`` from weights of features."""
        rank = self.problem.squares.size
        point = np.zeros_like(self.points[0])
        point[:rank] = self.problem.basis.point(weights)
        point[rank] = intercepts + self.problem.mean.astype(np.float32) @ weights
        return point

    def solution(self) -> PathSolution:
        """The solutions in terms of the features."""
        rank = self.problem.squares.size
        weights = self.problem.basis.weights(self.points[:, :rank])
        shift = self.problem.mean.astype(np.float32) @ weights
        return PathSolution(
            weights=weights,
            intercepts=self.points[:, rank] - shift,
            objective=self.objective,
            gradient=np.sqrt(self.squared.sum(axis=1)),
            excess=self.excess,
            steps=self.steps,
            converged=self.excess <= self.tolerance,
        )


def _padded(lanes: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Fill up to one of some sizes; repeats of the last one."""
    size = next((s for s in sizes if s >= lanes.size), lanes.size)
    return np.pad(lanes, (0, size - lanes.size), mode="edge")
