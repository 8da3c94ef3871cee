"""GBC: how much the classes overlap, as Gaussians."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.probe.labelled import check_labelled, class_means

Shape = Literal["diagonal", "spherical"]


def gbc(x: Any, labels: Any, *, shape: Shape = "spherical", dimensions: int = 64) -> float:
    """Gaussian Bhattacharyya coefficient ``-sum_{i != j} exp(-D_B(i, j))`` (Pandy et al. 2022).

    Each class is a Gaussian with mean m and variances v; with ``v = (v_i + v_j) / 2``

    ``D_B = 1/8 sum (m_i - m_j)^2 / v + 1/2 sum log(v / sqrt(v_i v_j))``.

    Args:
        x: features ``[n, d]``, NumPy or JAX; constant columns are left out.
        labels: one integer or string a row; at least two rows a class.
        shape: ``"diagonal"``, a variance a direction, or ``"spherical"``, their mean.
        dimensions: principal components that are kept; the variances of few rows in many
            directions would be noise.

    Returns:
        From ``-c (c - 1)`` (all classes alike) to 0 (far apart). It does not change with a shift,
        a rotation or the scale of all features.

    Raises:
        InputError: unusable features or labels, classes of one row, unknown shape.

    Reference:
        M. Pandy et al., "Transferability estimation using Bhattacharyya class separability",
        CVPR 2022, equations 4 and 5.

    Example:
        >>> gbc([[0.0], [1.0], [0.0], [1.0]], [0, 0, 1, 1])
        -2.0
    """
    if shape not in get_args(Shape):
        raise InputError(f"shape must be one of {get_args(Shape)}; got {shape!r}.")
    if dimensions < 1:
        raise InputError(f"dimensions must be at least 1; got {dimensions}.")
    data = check_labelled(x, labels, least=2)
    classes = len(data.classes)
    if data.x.shape[1] == 0:
        return -float(classes * (classes - 1))
    centred = data.x - data.x.mean(axis=0)
    _, singular, right = np.linalg.svd(centred, full_matrices=False)
    kept = singular > singular[0] * max(centred.shape) * np.finfo(float).eps
    reduced = centred @ right[kept][:dimensions].T
    means = class_means(reduced, data)
    variances = class_means((reduced - means[data.codes]) ** 2, data)
    if shape == "spherical":
        variances = np.broadcast_to(variances.mean(axis=1, keepdims=True), variances.shape)
    # A class whose rows agree in a direction has no variance there; rounding stands in for it, in
    # the units of that direction.
    spread = np.broadcast_to(reduced.var(axis=0), variances.shape)
    if shape == "spherical":
        spread = spread.mean(axis=1, keepdims=True)
    variances = np.maximum(variances, 1e-12 * spread)
    total = 0.0
    for one in range(classes):
        middle = (variances + variances[one]) / 2
        distance = ((means - means[one]) ** 2 / middle).sum(axis=1) / 8
        distance += (np.log(middle) - np.log(variances * variances[one]) / 2).sum(axis=1) / 2
        total += np.exp(-distance).sum() - 1
    return -float(total)
