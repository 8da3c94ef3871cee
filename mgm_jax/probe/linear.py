"""The linear probe: what users call, and what they get."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax.sharding import Mesh

from mgm_jax.errors import InputError, name_some
from mgm_jax.parallel.devices import choose_mesh
from mgm_jax.probe.features import MEMORY_LIMIT, Features
from mgm_jax.probe.labelled_sets import check_options, check_sets, penalties_of
from mgm_jax.probe.linear_answers import logits_of, path_scores
from mgm_jax.probe.logistic.path import solve_path
from mgm_jax.probe.logistic.problem import prepare
from mgm_jax.probe.path_result import PathResult
from mgm_jax.probe.scoring import (
    OF_CLASSES,
    OF_SEVERAL,
    ScoreName,
    score_interval,
    score_of,
)
from mgm_jax.whole_numbers import seeded

_HELD_OUT = 0.2
# Spreads of features for which the best of the usual penalties is well within them: a penalty of
# one spread is the square of a factor away from that of another.
_USUAL = 1e-2, 1e3
# Rows by which the spread is judged.
_SAMPLE = 4096
_MEASURES = (*OF_CLASSES, *OF_SEVERAL)


@dataclass(frozen=True, kw_only=True, repr=False)
class ProbeResult(PathResult):
    """A linear probe: its score on test, and the path it was chosen from.

    Attributes:
        score: on test, of the probe refitted on train and validation, 0 to 1.
        low: lower end of the bootstrap interval over test images.
        high: its upper end.
        level: what the interval covers.
        measure: ``"top1"``, ``"mean_per_class"``, ``"map11"`` or ``"map"``.
        l2_penalty: the chosen weight decay.
        l2_penalties: all of them, ``[s]``, ascending.
        validation: score on validation of each, ``[s]``.
        objective: ``sum_i loss_i + penalty / 2 |W|^2`` on train, ``[s]``.
        gradient: Euclidean norm of its gradient by W and b, of features about their mean, ``[s]``.
        excess: share by which an objective lies above the least one, at most, ``[s]``.
        converged: whether that is below 5e-5, ``[s]`` bool.
        refit_converged: whether the refitted probe did.
        weights: of the refitted probe, ``[d, c]`` float32.
        intercepts: ``[c]`` float32.
        classes: the labels, ``[c]``.
    """

    objective: np.ndarray
    gradient: np.ndarray
    excess: np.ndarray
    converged: np.ndarray
    refit_converged: bool

    def _path(self) -> dict[str, np.ndarray]:
        return super()._path() | {
            "objective": self.objective,
            "gradient": self.gradient,
            "excess": self.excess,
            "converged": self.converged,
        }

    def _remark(self) -> str:
        return f", {int(self.converged.sum())} of {self.converged.size} penalties converged"


def linear_probe(
    train: tuple[Any, Any],
    validation: tuple[Any, Any] | None,
    test: tuple[Any, Any],
    *,
    l2_penalties: int | Any = 45,
    measure: ScoreName = "top1",
    level: float = 0.95,
    seed: int = 0,
    devices: Mesh | Sequence[Any] | None = None,
    memory_limit: int = MEMORY_LIMIT,
    block_rows: int | None = None,
    strengths: int | Any | None = None,
) -> ProbeResult:
    """Logistic regression on frozen features; its penalty is chosen on validation.

    For every penalty s the probe minimises ``sum_i loss_i(W, b) + s / 2 |W|^2`` on train
    (scikit-learn's C is 1 / s; intercepts are free): multinomial loss, or, for labels that
    exclude no other, one binary loss a class. All penalties are solved as one problem. The one
    with the best validation score (of equals the strongest) is refitted on train and validation.

    Features may be arrays, memory-mapped files, an ``EmbeddingStore`` or another ``RowReader``,
    or some rows of these: ``Features.of(store).take(rows)``. Up to ``memory_limit`` they are held
    in memory. Beyond it they are read block by block for every step of the solver; then memory
    holds a few blocks, ``[d, d]`` numbers (``[n, n]`` of fewer rows than features) and the weights
    of all penalties, whatever n is. Sums run in float32; those over blocks keep what it rounds off.

    Args:
        train: features ``[n, d]`` and labels; features as they come from the encoder.
        validation: likewise; None holds out a random fifth of train.
        test: likewise.
        l2_penalties: how many, spread evenly over the logarithms from 1e-6 to 1e5; or they
            themselves, above 0.
        measure: ``"top1"``, ``"mean_per_class"``, or of labels given as 0 and 1 in ``[n, c]`` the
            mean average precision, ``"map11"`` at 11 points of recall or ``"map"``.
        level: coverage of the interval, in (0, 1).
        seed: of the held-out fifth and of the bootstrap.
        devices: mesh of one axis, or list of devices, that share the rows of the features; every
            step of all penalties is one sum over them. None follows the features of train.
        memory_limit: bytes of all features together, as float32, up to which they are held in
            memory. Work on them there takes about four times as much.
        block_rows: rows that are read at a time where they are not; None for about 64 MiB.
        strengths: the old name of ``l2_penalties``.

    Returns:
        A ``ProbeResult``.

    Raises:
        InputError: unusable features or labels, sets that do not fit each other, classes of
            validation or test that train lacks, an unknown option, a file or store that is
            damaged or cut short.

    Reference:
        L. Ericsson, H. Gouk, T. M. Hospedales, "How well do self-supervised models transfer?",
        CVPR 2021, section 4.1, whose protocol the defaults are.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y = np.arange(60) % 2
        >>> sets = [(rng.normal(size=(60, 3)) + 5 * y[:, None], y) for _ in range(3)]
        >>> linear_probe(*sets, l2_penalties=5).score
        1.0
    """
    check_options(measure, _MEASURES, level)
    path = penalties_of(l2_penalties, strengths=strengths)
    mesh = choose_mesh(devices, x=train[0] if isinstance(train, tuple | list) and train else None)
    several = measure in OF_SEVERAL
    sets, classes, rows = check_sets(
        {"train": train, "validation": validation, "test": test},
        several=several,
        memory_limit=memory_limit,
        block_rows=block_rows,
    )
    if validation is None:
        n = sets["train"].x.shape[0]
        held = seeded(seed).permutation(n) < round(_HELD_OUT * n)
        sets["validation"], sets["train"] = (sets["train"].take(part) for part in (held, ~held))
        left = np.bincount(sets["train"].codes, minlength=classes.size) if not several else None
        if left is not None and not left.all():
            raise InputError(
                "train must keep every class when a fifth of it is held out; none is left of "
                f"{name_some(classes[left == 0])}. Leave these classes out, or pass a validation "
                "set."
            )
    codes = {name: one.codes for name, one in sets.items()}
    options = {"classes": classes.size, "mesh": mesh, "block_rows": rows}
    try:
        solution = solve_path(prepare(sets["train"].x, codes["train"], **options), path)
    except np.linalg.LinAlgError as error:
        raise InputError(
            f"features of train must have products that float32 holds; they are spread by "
            f"{_spread_of(sets['train'].x, rows):.3g}. Divide all features by one number, so that "
            "they spread by about 1."
        ) from error
    scores = path_scores(
        sets["validation"].x,
        codes["validation"],
        solution.weights,
        solution.intercepts,
        score=measure,
        block_rows=rows,
    )
    # Of equally good ones, the strongest leaves least to chance.
    chosen = len(path) - 1 - int(np.nanargmax(scores[::-1]))
    if chosen in (0, len(path) - 1) and len(path) > 1:
        spread = _spread_of(sets["train"].x, rows)
        if not _USUAL[0] < spread < _USUAL[1]:
            warnings.warn(
                f"the features of train are spread by {spread:.3g}, and the penalty at the "
                f"{'weak' if chosen == 0 else 'strong'} end of the path was chosen, "
                f"{path[chosen]:.3g}: a better one may lie beyond it. Divide all features by one "
                "number, so that they spread by about 1.",
                stacklevel=2,
            )
    together = sets["train"].x.join(sets["validation"].x)
    # The solution on train is where the one on more images is near.
    final = solve_path(
        prepare(together, np.concatenate([codes["train"], codes["validation"]]), **options),
        path[chosen : chosen + 1],
        start=(solution.weights[chosen], solution.intercepts[chosen]),
    )
    logits = logits_of(sets["test"].x, final.weights[0], final.intercepts[0], block_rows=rows)
    truth = codes["test"]
    low, high = score_interval(logits, truth, score=measure, level=level, seed=seed)
    return ProbeResult(
        score=score_of(logits, truth, score=measure),
        low=low,
        high=high,
        level=level,
        measure=measure,
        l2_penalty=float(path[chosen]),
        l2_penalties=path,
        validation=scores,
        objective=solution.objective,
        gradient=solution.gradient,
        excess=solution.excess,
        converged=solution.converged,
        refit_converged=bool(final.converged[0]),
        weights=final.weights[0],
        intercepts=final.intercepts[0],
        classes=classes,
    )


def _spread_of(x: Features, rows: int | None) -> float:
    """Root of the total variance of features, judged by the first of their rows."""
    first = x.read(0, min(x.shape[0], _SAMPLE if rows is None else rows)).astype(np.float64)
    return float(np.sqrt(first.var(axis=0).sum()))
