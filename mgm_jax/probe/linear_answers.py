"""What a linear classifier answers: of features in memory at once, of others block by block."""

from __future__ import annotations

from typing import Any

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.probe.features import Features, block_rows_for
from mgm_jax.probe.scoring import OF_CLASSES, ScoreName, score_answers, score_of


def linear_answers(x: Any, weights: np.ndarray, intercepts: np.ndarray) -> np.ndarray:
    """``x W + b`` in the type of the weights, for features ``[n, d]``: ``[n, c]``.

    Args:
        x: an array; or what is read by rows, as ``Features.of`` takes it.
        weights: ``[d, c]``.
        intercepts: ``[c]``.

    Raises:
        InputError: features of another width than in training.
    """
    read = isinstance(x, Features) or hasattr(x, "read")
    points = Features.of(x) if read else np.asarray(x, weights.dtype)
    if len(points.shape) != 2 or points.shape[1] != len(weights):
        raise InputError(
            f"x must have shape [n, {len(weights)}], as in training; got {points.shape}."
        )
    if isinstance(points, Features):
        return logits_of(points, weights, intercepts, block_rows=block_rows_for(len(weights)))
    return points @ weights + intercepts


def logits_of(
    x: Features, weights: np.ndarray, intercepts: np.ndarray, *, block_rows: int | None
) -> np.ndarray:
    """``x W + b``, ``[n, c]``; ``block_rows`` at a time, or all at once."""
    blocks = x.blocks(block_rows, then=lambda _, block: block @ weights + intercepts)
    return np.concatenate([logits for _, logits in blocks])


def path_scores(
    x: Features,
    truth: np.ndarray,
    weights: np.ndarray,
    intercepts: np.ndarray,
    *,
    score: ScoreName,
    block_rows: int | None,
) -> np.ndarray:
    """Score of every classifier of a path, in one pass over the features.

    Args:
        x: features ``[n, d]``.
        truth: classes ``[n]``, 0 and 1 ``[n, c]``, or real values ``[n, c]``.
        weights: ``[s, d, c]``.
        intercepts: ``[s, c]``.
        score: which measure; but for those of one class an image all logits ``[s, n, c]`` are
            kept until the end.
        block_rows: rows read at a time; None for all.

    Returns:
        ``[s]``.
    """
    answers = []
    for rows, block in x.blocks(block_rows):
        logits = (block @ w + b for w, b in zip(weights, intercepts, strict=True))
        # Of other scores an answer is all that must be kept.
        answers.append(
            [one.argmax(axis=1) == truth[rows] if score in OF_CLASSES else one for one in logits]
        )
    score_one = score_answers if score in OF_CLASSES else score_of
    return np.array(
        [score_one(np.concatenate(one), truth, score=score) for one in zip(*answers, strict=True)]
    )
