"""The ridge probe: least squares on class indicators, in closed form at every strength."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.probe.labelled_sets import (
    check_fit,
    check_options,
    check_set,
    linear_answers,
    strengths_of,
)
from mgm_jax.probe.scoring import ScoreName, bootstrap_interval, score_of

if TYPE_CHECKING:
    import pandas as pd

_MEASURES = ("top1", "mean_per_class")


@dataclass(frozen=True, kw_only=True)
class RidgeResult:
    """A ridge probe: its score on test, and the path it was chosen from.

    Attributes:
        score: on test, 0 to 1.
        low: lower end of the bootstrap interval over test images.
        high: its upper end.
        level: what the interval covers.
        measure: ``"top1"`` or ``"mean_per_class"``.
        strength: the chosen one, in units of ``unit``.
        strengths: all of them, ``[s]``, ascending.
        validation: score of each on validation, or leaving one out, ``[s]``.
        unit: mean square of a centred feature summed over the rows of train, ``|X|^2 / d``.
        weights: ``[d, c]`` float64.
        intercepts: ``[c]`` float64.
        classes: the labels, ``[c]``.
    """

    score: float
    low: float
    high: float
    level: float
    measure: ScoreName
    strength: float
    strengths: np.ndarray
    validation: np.ndarray
    unit: float
    weights: np.ndarray
    intercepts: np.ndarray
    classes: np.ndarray

    def logits(self, x: Any) -> np.ndarray:
        """Fitted indicators of every class for features ``[n, d]``: ``[n, c]`` float64."""
        return linear_answers(x, self.weights, self.intercepts)

    def to_pandas(self) -> pd.DataFrame:
        """One row a strength: its score on validation, or leaving one out."""
        import pandas as pd

        return pd.DataFrame({"strength": self.strengths, "validation": self.validation})

    def __repr__(self) -> str:
        """Score, interval and strength in one line."""
        return (
            f"RidgeResult({self.measure} {self.score:.4f}, {self.level:.0%} interval "
            f"{self.low:.4f} to {self.high:.4f}, strength {self.strength:.3g})"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the line above and the path."""
        return (
            f"<p>{self!r}</p>{self.to_pandas().to_html(index=False, float_format='{:.4g}'.format)}"
        )


def ridge_probe(
    train: tuple[Any, Any],
    validation: tuple[Any, Any] | None,
    test: tuple[Any, Any],
    *,
    strengths: int | Any = 45,
    measure: ScoreName = "top1",
    level: float = 0.95,
    seed: int = 0,
) -> RidgeResult:
    """Ridge regression of class indicators on frozen features; no iterations.

    For every strength s it minimises ``|Y - X W - 1 b'|^2 + s u |W|^2`` with Y the indicators
    ``[n, c]`` and ``u = |X|^2 / d`` of the centred features, so that s means the same whatever
    their scale; the class of the largest fitted indicator is the answer. One eigendecomposition
    serves all strengths. The strength with the best score on validation is refitted on train and
    validation; without validation it is the one that is best at leaving one row of train out,
    also in closed form. Of equals the strongest is taken.

    Args:
        train: features ``[n, d]`` and labels.
        validation: likewise, or None.
        test: likewise.
        strengths: how many, spread evenly over the logarithms from 1e-6 to 1e5; or the strengths
            themselves, above 0.
        measure: ``"top1"`` or ``"mean_per_class"``.
        level: coverage of the interval, in (0, 1).
        seed: of the bootstrap.

    Returns:
        A ``RidgeResult``.

    Raises:
        InputError: unusable features or labels, sets that do not fit each other, labels of
            validation or test that train lacks, an unknown option.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y = np.arange(60) % 2
        >>> sets = [(rng.normal(size=(60, 3)) + 5 * y[:, None], y) for _ in range(2)]
        >>> ridge_probe(sets[0], None, sets[1]).score
        1.0
    """
    check_options(measure, _MEASURES, level)
    path = strengths_of(strengths)
    x, y = check_set(train, "train")
    classes = np.unique(y)
    if classes.size < 2:
        raise InputError("train must hold at least two classes; got one.")
    parts = {"test": test} | ({} if validation is None else {"validation": validation})
    checked = {name: check_set(part, name) for name, part in parts.items()}
    for name, (features, labels) in checked.items():
        check_fit(name, features, labels, x, classes)
    codes = np.searchsorted(classes, y)
    fit = _Decomposed(x, codes, classes.size)
    if validation is None:
        scores = [score_of(fit.left_out(s), codes, score=measure) for s in path]
    else:
        held_x, held_y = checked["validation"]
        held = np.searchsorted(classes, held_y)
        scores = [
            score_of(held_x @ w + b, held, score=measure)
            for w, b in (fit.solution(s) for s in path)
        ]
        fit = _Decomposed(np.concatenate([x, held_x]), np.concatenate([codes, held]), classes.size)
    chosen = len(path) - 1 - int(np.argmax(scores[::-1]))
    weights, intercepts = fit.solution(path[chosen])
    test_x, test_y = checked["test"]
    logits, truth = test_x @ weights + intercepts, np.searchsorted(classes, test_y)
    low, high = bootstrap_interval(logits, truth, score=measure, level=level, seed=seed)
    return RidgeResult(
        score=score_of(logits, truth, score=measure),
        low=low,
        high=high,
        level=level,
        measure=measure,
        strength=float(path[chosen]),
        strengths=path,
        validation=np.asarray(scores),
        unit=fit.unit,
        weights=weights,
        intercepts=intercepts,
        classes=classes,
    )


class _Decomposed:
    """Features along their singular directions, and the indicators with them."""

    def __init__(self, x: np.ndarray, codes: np.ndarray, classes: int) -> None:
        self.mean = x.mean(axis=0, dtype=np.float64)
        centred = x - self.mean
        n, d = centred.shape
        self.targets = np.eye(classes)[codes]
        self.middle = self.targets.mean(axis=0)
        gram = centred @ centred.T if n < d else centred.T @ centred
        values, vectors = np.linalg.eigh(gram)
        real = values > max(values[-1], 0) * max(n, d) * np.finfo(np.float64).eps
        self.squares, vectors = values[real], vectors[:, real]
        roots = np.sqrt(self.squares)
        self.left = vectors if n < d else centred @ vectors / roots
        self.right = centred.T @ vectors / roots if n < d else vectors
        self.along = self.left.T @ (self.targets - self.middle)
        # Features without any variance have no scale; any unit gives weights of zero.
        self.unit = float(values.sum()) / d if real.any() else 1.0

    def solution(self, strength: float) -> tuple[np.ndarray, np.ndarray]:
        """Weights ``[d, c]`` and intercepts ``[c]``."""
        shrunk = np.sqrt(self.squares) / (self.squares + strength * self.unit)
        weights = self.right @ (shrunk[:, None] * self.along)
        return weights, self.middle - self.mean @ weights

    def left_out(self, strength: float) -> np.ndarray:
        """Fitted indicators of every row by the fit to all others, ``[n, c]``.

        The fit is ``H Y`` with a hat matrix H, so that the error at a row left out is its error
        over ``1 - h_ii`` (Allen 1974).
        """
        kept = self.squares / (self.squares + strength * self.unit)
        fitted = self.middle + self.left @ (kept[:, None] * self.along)
        hat = 1 / len(self.left) + self.left**2 @ kept
        error = (self.targets - fitted) / np.maximum(1 - hat, 1e-12)[:, None]
        return self.targets - error
