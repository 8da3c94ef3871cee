"""H-score: how much of the variance of the features lies between the classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.probe.labelled import check_labelled, class_means


def h_score(x: Any, labels: Any, *, shrinkage: float | None = None) -> float:
    """Regularised H-score ``(1 - s) tr(S^-1 B)`` (Bao et al. 2019; Ibrahim et al. 2022).

    B is the covariance of the class means, weighted by the size of the classes, and
    ``S = (1 - s) C + s tr(C)/d I`` the covariance C of the features shrunk towards a multiple of
    the identity, by the share s of Ledoit and Wolf (2004) unless given.

    Args:
        x: features ``[n, d]``, NumPy or JAX; constant columns are left out.
        labels: one integer or string a row.
        shrinkage: s, from 0 (none; needs C invertible on what the means span) to 1.

    Returns:
        From 0 (the means coincide) to min(c - 1, d). It does not change with a shift, a rotation
        or the scale of all features; at s = 0 with no invertible linear map of them.

    Raises:
        InputError: unusable features or labels, shrinkage outside 0 to 1.

    Reference:
        S. Ibrahim et al., "Newer is not always better: rethinking transferability metrics",
        ECML PKDD 2022, section 3.

    Example:
        >>> round(h_score([[0.0], [0.0], [1.0], [1.0]], [0, 0, 1, 1], shrinkage=0.0), 3)
        1.0
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    if shrinkage is not None and not 0 <= shrinkage <= 1:
        raise InputError(f"shrinkage must be from 0 to 1; got {shrinkage}.")
    data = check_labelled(x, labels)
    n, d = data.x.shape
    if d == 0:
        return 0.0
    centred = data.x - data.x.mean(axis=0)
    between = class_means(centred, data) * np.sqrt(data.sizes / n)[:, None]
    share = shrinkage if shrinkage is not None else ledoit_wolf_shrinkage(centred)
    # In the singular directions the shrunk covariance is diagonal, and B has no part outside.
    _, singular, right = np.linalg.svd(centred, full_matrices=False)
    variance = singular**2 / n
    shrunk = (1 - share) * variance + share * variance.sum() / d
    # By singular values: their squares would take real directions of small scale for rounding.
    real = singular > singular[0] * max(n, d) * np.finfo(float).eps
    along = (between @ right.T[:, real]) ** 2
    return float((1 - share) * (along / shrunk[real]).sum())
