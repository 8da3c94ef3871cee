"""Scores from what a source classifier says of the target images: LEEP and NCE."""

from __future__ import annotations

from typing import Any

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.points.groups import encode_groups


def leep(probabilities: Any, labels: Any) -> float:
    """Log expected empirical prediction (Nguyen et al. 2020).

    ``mean_i log sum_z P(y_i | z) p_iz`` with ``P(y, z) = mean_i p_iz [y_i = y]``.

    Args:
        probabilities: of the source classes for every target image, ``[n, z]``, rows adding up
            to 1 (the softmax of the source logits).
        labels: one integer or string an image.

    Returns:
        At most 0, which perfect agreement reaches; minus the entropy of the labels where the
        source says nothing about them.

    Raises:
        InputError: probabilities that are negative, not finite or do not add up to 1, in rows
            that are named; unusable labels.

    Reference:
        C. V. Nguyen et al., "LEEP: a new measure to evaluate transferability of learned
        representations", ICML 2020, equations 1 and 2.

    Example:
        >>> leep([[1.0, 0.0], [0.0, 1.0]], ["cat", "dog"])
        0.0
    """
    source = np.asarray(probabilities, np.float64)
    if source.ndim != 2 or not source.size:
        raise InputError(f"probabilities must have shape [n, z]; got {source.shape}.")
    bad = ~np.isfinite(source).all(axis=1) | (source < 0).any(axis=1)
    bad |= ~(np.abs(source.sum(axis=1) - 1) < 1e-3)
    if bad.any():
        raise InputError(
            "probabilities must be at least 0 and add up to 1 in every row; they do not in rows "
            f"{name_some(np.flatnonzero(bad))}. Pass the softmax of the source logits."
        )
    groups = encode_groups(labels, len(source))
    joint = np.zeros((len(groups), source.shape[1]))
    np.add.at(joint, groups.codes, source)
    total = joint.sum(axis=0)
    conditional = joint / np.where(total > 0, total, 1)
    return float(np.log((conditional[groups.codes] * source).sum(axis=1)).mean())


def nce(source_labels: Any, labels: Any) -> float:
    """Negative conditional entropy of the target labels given the source's (Tran et al. 2019).

    ``sum_{y,z} P(y, z) log P(y | z)`` over the labels of the same images.

    Args:
        source_labels: what the source classifier calls every image, ``[n]``.
        labels: what the target calls it, ``[n]``.

    Returns:
        From minus the entropy of the labels (source says nothing) to 0 (source decides).

    Raises:
        InputError: unusable labels.

    Reference:
        A. T. Tran, C. V. Nguyen, T. Hassner, "Transferability and hardness of supervised
        classification tasks", ICCV 2019, equation 8.

    Example:
        >>> nce([0, 0, 1, 1], ["a", "a", "b", "b"])
        0.0
    """
    target = encode_groups(labels, len(labels))
    source = encode_groups(source_labels, len(labels))
    pairs = source.codes.astype(np.int64) * len(target) + target.codes
    joint = np.bincount(pairs, minlength=len(source) * len(target)).astype(np.float64)
    joint = joint.reshape(len(source), len(target)) / len(target.codes)
    conditional = joint / joint.sum(axis=1, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(conditional[seen])).sum()) + 0.0
