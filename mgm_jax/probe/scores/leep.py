"""LEEP: how likely the labels are, given what a source classifier gives for every image."""

from __future__ import annotations

from typing import Any

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.points.tensors import off_torch
from mgm_jax.probe.labelled import encode_labels


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
    source = np.asarray(off_torch(probabilities), np.float64)
    if source.ndim != 2 or not source.size:
        raise InputError(f"probabilities must have shape [n, z]; got {source.shape}.")
    bad = ~np.isfinite(source).all(axis=1) | (source < 0).any(axis=1)
    bad |= ~(np.abs(source.sum(axis=1) - 1) < 1e-3)
    if bad.any():
        raise InputError(
            "probabilities must be at least 0 and add up to 1 in every row; they do not in rows "
            f"{name_some(np.flatnonzero(bad))}. Pass the softmax of the source logits."
        )
    # Sums are 1 up to the rounding of a narrow type, and no chance may exceed certainty.
    source = source / source.sum(axis=1, keepdims=True)
    groups = encode_labels(labels, len(source))
    joint = np.zeros((len(groups), source.shape[1]))
    np.add.at(joint, groups.codes, source)
    total = joint.sum(axis=0)
    conditional = joint / np.where(total > 0, total, 1)
    return float(np.log((conditional[groups.codes] * source).sum(axis=1)).mean())
