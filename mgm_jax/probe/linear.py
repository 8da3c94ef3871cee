"""The linear probe: what users call, and what they get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.sharding import Mesh

from mgm_jax.devices import choose_mesh
from mgm_jax.errors import InputError
from mgm_jax.probe.labelled_sets import (
    check_fit,
    check_options,
    check_set,
    linear_answers,
    strengths_of,
)
from mgm_jax.probe.logistic_path import prepare, solve_path
from mgm_jax.probe.scoring import SCORES, ScoreName, bootstrap_interval, score_of

if TYPE_CHECKING:
    import pandas as pd

_HELD_OUT = 0.2


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """A linear probe: its score on test, and the path it was chosen from.

    Attributes:
        score: on test, of the probe refitted on train and validation, 0 to 1.
        low: lower end of the bootstrap interval over test images.
        high: its upper end.
        level: what the interval covers.
        measure: ``"top1"``, ``"mean_per_class"`` or ``"map11"``.
        strength: the chosen weight decay.
        strengths: all of them, ``[s]``, ascending.
        validation: score on validation of each, ``[s]``.
        objective: ``sum_i loss_i + strength / 2 |W|^2`` on train, ``[s]``.
        gradient: Euclidean norm of its gradient, ``[s]``.
        excess: share by which an objective lies above the least one, at most, ``[s]``.
        converged: whether that is below 5e-5, ``[s]`` bool.
        refit_converged: whether the refitted probe did.
        weights: of the refitted probe, ``[d, c]`` float32.
        intercepts: ``[c]`` float32.
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
    objective: np.ndarray
    gradient: np.ndarray
    excess: np.ndarray
    converged: np.ndarray
    refit_converged: bool
    weights: np.ndarray
    intercepts: np.ndarray
    classes: np.ndarray

    def logits(self, x: Any) -> np.ndarray:
        """Scores of every class for features ``[n, d]``: ``[n, c]`` float32."""
        return linear_answers(x, self.weights, self.intercepts)

    def to_pandas(self) -> pd.DataFrame:
        """One row a strength: validation score, objective, gradient, excess, converged."""
        import pandas as pd

        return pd.DataFrame(
            {
                "strength": self.strengths,
                "validation": self.validation,
                "objective": self.objective,
                "gradient": self.gradient,
                "excess": self.excess,
                "converged": self.converged,
            }
        )

    def __repr__(self) -> str:
        """Score, interval and strength in one line."""
        return (
            f"ProbeResult({self.measure} {self.score:.4f}, {self.level:.0%} interval "
            f"{self.low:.4f} to {self.high:.4f}, strength {self.strength:.3g}, "
            f"{int(self.converged.sum())} of {self.converged.size} strengths converged)"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the line above and the path."""
        return (
            f"<p>{self!r}</p>{self.to_pandas().to_html(index=False, float_format='{:.4g}'.format)}"
        )


def linear_probe(
    train: tuple[Any, Any],
    validation: tuple[Any, Any] | None,
    test: tuple[Any, Any],
    *,
    strengths: int | Any = 45,
    measure: ScoreName = "top1",
    level: float = 0.95,
    seed: int = 0,
    devices: Mesh | Sequence[Any] | None = None,
) -> ProbeResult:
    """Logistic regression on frozen features; its strength is chosen on validation.

    For every strength s the probe minimises ``sum_i loss_i(W, b) + s / 2 |W|^2`` on train
    (scikit-learn's C is 1 / s; intercepts are free): multinomial loss, or, for labels that
    exclude no other, one binary loss a class. All strengths are solved as one problem. The one
    with the best validation score (of equals the strongest) is refitted on train and validation.

    Args:
        train: features ``[n, d]`` and labels; features as they come from the encoder.
        validation: likewise; None holds out a random fifth of train.
        test: likewise.
        strengths: how many, spread evenly over the logarithms from 1e-6 to 1e5; or the strengths
            themselves, above 0.
        measure: ``"top1"``, ``"mean_per_class"``, or ``"map11"``, the 11-point mean average
            precision of labels given as 0 and 1 in ``[n, c]``.
        level: coverage of the interval, in (0, 1).
        seed: of the held-out fifth and of the bootstrap.
        devices: mesh of one axis, or list of devices, that share the rows of the features; every
            step of all strengths is one sum over them. None follows the features of train.

    Returns:
        A ``ProbeResult``.

    Raises:
        InputError: unusable features or labels, sets that do not fit each other, classes of
            validation or test that train lacks, an unknown option.

    Reference:
        L. Ericsson, H. Gouk, T. M. Hospedales, "How well do self-supervised models transfer?",
        CVPR 2021, section 4.1, whose protocol the defaults are.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y = np.arange(60) % 2
        >>> sets = [(rng.normal(size=(60, 3)) + 5 * y[:, None], y) for _ in range(3)]
        >>> linear_probe(*sets, strengths=5).score
        1.0
    """
    check_options(measure, SCORES, level)
    path = strengths_of(strengths)
    mesh = choose_mesh(devices, x=train[0] if isinstance(train, tuple | list) and train else None)
    several = measure == "map11"
    x, y = check_set(train, "train", several=several)
    classes = np.arange(y.shape[1]) if several else np.unique(y)
    if not several and classes.size < 2:
        raise InputError("train must hold at least two classes; got one.")
    sets = {"validation": validation, "test": test}
    checked = {
        name: check_set(part, name, several=several)
        for name, part in sets.items()
        if part is not None
    }
    for name, (features, labels) in checked.items():
        check_fit(name, features, labels, x, classes, several=several)
    if validation is None:
        held = np.random.default_rng(seed).permutation(len(x)) < round(_HELD_OUT * len(x))
        checked["validation"] = x[held], y[held]
        x, y = x[~held], y[~held]
        if not several and np.unique(y).size < classes.size:
            raise InputError(
                "train must keep every class when a fifth of it is held out; some classes are too "
                "small. Pass a validation set."
            )

    def coded(labels: np.ndarray) -> np.ndarray:
        return labels if several else np.searchsorted(classes, labels)

    found = solve_path(prepare(x, coded(y), classes=classes.size, mesh=mesh), path)
    held_x, held_y = checked["validation"]
    scores = np.array(
        [
            score_of(held_x @ w + b, coded(held_y), score=measure)
            for w, b in zip(found.weights, found.intercepts, strict=True)
        ]
    )
    # Of equally good ones, the strongest leaves least to chance.
    chosen = len(path) - 1 - int(np.nanargmax(scores[::-1]))
    together = np.concatenate([x, held_x]), np.concatenate([coded(y), coded(held_y)])
    # The solution on train is where the one on more images is near.
    final = solve_path(
        prepare(*together, classes=classes.size, mesh=mesh),
        path[chosen : chosen + 1],
        start=(found.weights[chosen], found.intercepts[chosen]),
    )
    test_x, test_y = checked["test"]
    logits = test_x @ final.weights[0] + final.intercepts[0]
    low, high = bootstrap_interval(logits, coded(test_y), score=measure, level=level, seed=seed)
    return ProbeResult(
        score=score_of(logits, coded(test_y), score=measure),
        low=low,
        high=high,
        level=level,
        measure=measure,
        strength=float(path[chosen]),
        strengths=path,
        validation=scores,
        objective=found.objective,
        gradient=found.gradient,
        excess=found.excess,
        converged=found.converged,
        refit_converged=bool(final.converged[0]),
        weights=final.weights[0],
        intercepts=final.intercepts[0],
        classes=classes,
    )
