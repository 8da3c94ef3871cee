"""The ridge probe: least squares on indicators or values, in closed form at every penalty."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.geometry.cloud.moments import moments_of_chunks
from mgm_jax.probe.features import MEMORY_LIMIT, Features
from mgm_jax.probe.labelled_sets import check_options, check_sets, penalties_of
from mgm_jax.probe.linear_answers import logits_of, path_scores
from mgm_jax.probe.logistic.row_gram import mean_of, products_of_rows, real_eigenvalues
from mgm_jax.probe.path_result import PathResult
from mgm_jax.probe.scoring import (
    OF_CLASSES,
    OF_SEVERAL,
    OF_VALUES,
    SCORES,
    ScoreName,
    score_answers,
    score_interval,
    score_of,
)


@dataclass(frozen=True, kw_only=True, repr=False)
class RidgeResult(PathResult):
    """A ridge probe: its score on test, and the path it was chosen from.

    Attributes:
        score: on test, 0 to 1; of ``"r2"`` at most 1.
        low: lower end of the bootstrap interval over test images.
        high: its upper end.
        level: what the interval covers.
        measure: ``"top1"``, ``"mean_per_class"``, ``"map11"``, ``"map"`` or ``"r2"``.
        l2_penalty: the chosen one, in units of ``unit``.
        l2_penalties: all of them, ``[s]``, ascending.
        validation: score of each on validation, or leaving one out, ``[s]``.
        unit: mean square of a centred feature summed over the rows of train, ``|X|^2 / d``.
        weights: ``[d, c]`` float64.
        intercepts: ``[c]`` float64.
        classes: the labels, ``[c]``.
    """

    unit: float


def ridge_probe(
    train: tuple[Any, Any],
    validation: tuple[Any, Any] | None,
    test: tuple[Any, Any],
    *,
    l2_penalties: int | Any = 45,
    measure: ScoreName = "top1",
    level: float = 0.95,
    seed: int = 0,
    memory_limit: int = MEMORY_LIMIT,
    block_rows: int | None = None,
    strengths: int | Any | None = None,
) -> RidgeResult:
    """Ridge regression of class indicators or real values on frozen features; no iterations.

    For every penalty s it minimises ``|Y - X W - 1 b'|^2 + s u |W|^2`` with Y the indicators or
    values ``[n, c]`` and ``u = |X|^2 / d`` of the centred features, so that s means the same
    whatever their scale; the class of the largest fitted indicator is the answer. One
    eigendecomposition serves all penalties. The penalty with the best score on validation is
    refitted on train and validation; without validation it is the one that is best at leaving one
    row of train out, also in closed form. Of equals the strongest is taken.

    Features may be whatever :func:`~mgm_jax.probe.linear.linear_probe` takes. Beyond
    ``memory_limit`` they are read block by block, two or three times in all (of fewer rows than
    features once for every block), and what stays in memory is ``[d, d]`` numbers (``[n, n]``) and
    the weights of all penalties.

    Args:
        train: features ``[n, d]`` and labels.
        validation: likewise, or None.
        test: likewise.
        l2_penalties: how many, spread evenly over the logarithms from 1e-6 to 1e5; or they
            themselves, above 0.
        measure: ``"top1"`` or ``"mean_per_class"``; of labels given as 0 and 1 in ``[n, c]``
            ``"map11"`` or ``"map"``; of real values ``[n]`` or ``[n, c]`` ``"r2"``, the mean over
            the columns of the share of variance that is explained.
        level: coverage of the interval, in (0, 1).
        seed: of the bootstrap.
        memory_limit: bytes of all features together, as float32, up to which they are held in
            memory.
        block_rows: rows that are read at a time where they are not; None for about 64 MiB.
        strengths: the old name of ``l2_penalties``.

    Returns:
        A ``RidgeResult``.

    Raises:
        InputError: unusable features or labels, sets that do not fit each other, labels of
            validation or test that train lacks, an unknown option, a file or store that is
            damaged or cut short.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y = np.arange(60) % 2
        >>> sets = [(rng.normal(size=(60, 3)) + 5 * y[:, None], y) for _ in range(2)]
        >>> ridge_probe(sets[0], None, sets[1]).score
        1.0
    """
    check_options(measure, SCORES, level)
    path = penalties_of(l2_penalties, strengths=strengths)
    sets, classes, rows = check_sets(
        {"train": train, "validation": validation, "test": test},
        several=measure in OF_SEVERAL,
        values=measure in OF_VALUES,
        memory_limit=memory_limit,
        block_rows=block_rows,
    )
    codes = {name: one.codes for name, one in sets.items()}
    fit = _Decomposed(sets["train"].x, codes["train"], classes.size, rows)
    if validation is None:
        scores = fit.left_out_scores(path, score=measure)
    else:
        weights, intercepts = fit.solutions(path)
        held = sets["validation"].x
        scores = path_scores(
            held, codes["validation"], weights, intercepts, score=measure, block_rows=rows
        )
        together = np.concatenate([codes["train"], codes["validation"]])
        fit = _Decomposed(sets["train"].x.join(held), together, classes.size, rows)
    if np.isnan(scores).all():
        raise InputError(
            f"measure={measure!r} is not defined: no label is there, or no value changes, in the "
            "rows that choose the penalty."
        )
    chosen = len(path) - 1 - int(np.nanargmax(scores[::-1]))
    (weights,), (intercepts,) = fit.solutions(path[chosen : chosen + 1])
    logits, truth = logits_of(sets["test"].x, weights, intercepts, block_rows=rows), codes["test"]
    low, high = score_interval(logits, truth, score=measure, level=level, seed=seed)
    return RidgeResult(
        score=score_of(logits, truth, score=measure),
        low=low,
        high=high,
        level=level,
        measure=measure,
        l2_penalty=float(path[chosen]),
        l2_penalties=path,
        validation=scores,
        unit=fit.unit,
        weights=weights,
        intercepts=intercepts,
        classes=classes,
    )


class _Decomposed:
    """Features along their singular directions, and the indicators with them.

    With ``X = U diag(l)^1/2 V'`` of the centred features, V is kept where rows are at least as many
    as features, and U where they are fewer; the other is X times it.
    """

    def __init__(
        self, x: Features, codes: np.ndarray, classes: int, block_rows: int | None
    ) -> None:
        self._x, self._codes, self._block_rows = x, codes, block_rows
        n, d = x.shape
        self._wide = n < d
        if codes.ndim == 1:
            self.middle = np.bincount(codes, minlength=classes) / n
        else:
            self.middle = codes.mean(axis=0)
        if self._wide:
            self.mean = mean_of(x, block_rows)
            gram = products_of_rows(x, self.mean, block_rows)
        else:
            moments = moments_of_chunks(block for _, block in x.blocks(block_rows))
            self.mean, gram = moments.mean, moments.scatter
        values, vectors = np.linalg.eigh(gram)
        # Features without any variance have no scale; any unit gives weights of zero.
        self.unit = float(values.sum()) / d if values[-1] > 0 else 1.0
        self.squares, self.vectors = real_eigenvalues(values, vectors, size=max(n, d))
        self.along = np.zeros((self.squares.size, classes))
        for rows, left in self._left():
            self.along += left.T @ self._targets(rows)

    def solutions(self, penalties: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights ``[s, d, c]`` and intercepts ``[s, c]``."""
        roots = np.sqrt(self.squares)
        shrunk = roots / (self.squares + penalties[:, None] * self.unit)
        points = shrunk[:, :, None] * self.along
        if self._wide:
            weights = np.zeros((len(penalties), self.mean.size, self.middle.size))
            for rows, block in self._x.blocks(self._block_rows):
                centred = block - self.mean
                for one, point in zip(weights, points, strict=True):
                    one += centred.T @ (self.vectors[rows] @ (point / roots[:, None]))
        else:
            weights = np.stack([self.vectors @ point for point in points])
        return weights, self.middle - self.mean @ weights

    def left_out_scores(self, penalties: np.ndarray, *, score: ScoreName) -> np.ndarray:
        """Score ``[s]`` of what every row gets by the fit to all others.

        The fit is ``H Y`` with a hat matrix H, so that the error at a row left out is its error
        over ``1 - h_ii`` (Allen 1974).
        """
        # Of classes it is enough to keep which answers are right.
        of_classes = score in OF_CLASSES
        by_penalty = np.empty(
            (len(penalties), len(self._codes), *(() if of_classes else (self.middle.size,))),
            bool if of_classes else float,
        )
        for rows, left in self._left():
            targets = self._targets(rows)
            for one, penalty in zip(by_penalty, penalties, strict=True):
                kept = self.squares / (self.squares + penalty * self.unit)
                fitted = self.middle + left @ (kept[:, None] * self.along)
                hat = 1 / len(self._codes) + left**2 @ kept
                error = (targets + self.middle - fitted) / np.maximum(1 - hat, 1e-12)[:, None]
                answers = targets + self.middle - error
                one[rows] = answers.argmax(axis=1) == self._codes[rows] if of_classes else answers
        score_one = score_answers if of_classes else score_of
        return np.array([score_one(one, self._codes, score=score) for one in by_penalty])

    def _targets(self, rows: slice) -> np.ndarray:
        """Centred indicators or values ``[m, c]``."""
        codes = self._codes[rows]
        return (np.eye(self.middle.size)[codes] if codes.ndim == 1 else codes) - self.middle

    def _left(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows of U, block by block."""
        if self._wide:
            yield slice(0, len(self._codes)), self.vectors
            return
        turned = self.vectors / np.sqrt(self.squares)
        for rows, block in self._x.blocks(self._block_rows):
            yield rows, (block - self.mean) @ turned
