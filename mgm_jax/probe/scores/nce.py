"""NCE: what the answers of a source classifier leave open of the labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from mgm_jax.geometry.points.tensors import off_torch
from mgm_jax.probe.labelled import encode_labels


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
    target = encode_labels(labels, np.size(off_torch(labels)))
    source = encode_labels(source_labels, len(target.codes), name="source_labels")
    pairs = source.codes.astype(np.int64) * len(target) + target.codes
    joint = np.bincount(pairs, minlength=len(source) * len(target)).astype(np.float64)
    joint = joint.reshape(len(source), len(target)) / len(target.codes)
    conditional = joint / joint.sum(axis=1, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(conditional[seen])).sum()) + 0.0
