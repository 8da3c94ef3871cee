"""TransRate: what the labels save of the code length of the features."""

from __future__ import annotations

from typing import Any

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.probe.labelled import check_labelled


def transrate(x: Any, labels: Any, *, epsilon: float = 1e-4) -> float:
    """Coding rate of the features less that within the classes (Huang et al. 2022).

    ``R(Z) - sum_c n_c / n R(Z_c)`` with Z the centred features and
    ``R(Z) = 1/2 log|I + Z'Z / (n epsilon)|``, in nats.

    Args:
        x: features ``[n, d]``, NumPy or JAX; constant columns are left out. The score depends on
            their scale: compare models on features of one scale.
        labels: one integer or string a row.
        epsilon: distortion, in squared units of the features.

    Returns:
        About 0 where the labels say nothing, larger where classes lie apart. It does not change
        with a shift or a rotation.

    Raises:
        InputError: unusable features or labels, epsilon not above 0.

    Reference:
        L.-K. Huang et al., "Frustratingly easy transferability estimation", ICML 2022,
        equation 4. Classes are weighted by their size, as there.

    Example:
        >>> transrate([[1.0], [1.0], [1.0], [1.0]], [0, 0, 1, 1])
        0.0
    """
    if not epsilon > 0:
        raise InputError(f"epsilon must be above 0; got {epsilon}.")
    data = check_labelled(x, labels)
    if data.x.shape[1] == 0:
        return 0.0
    centred = data.x - data.x.mean(axis=0)
    within = sum(
        size / len(centred) * _rate(centred[data.codes == code], epsilon)
        for code, size in enumerate(data.sizes)
    )
    return float(_rate(centred, epsilon) - within)


def _rate(points: np.ndarray, epsilon: float) -> float:
    # By singular values: of features far larger than epsilon a Gram matrix keeps no digit of the
    # identity that is added to it.
    squares = np.linalg.svd(points, compute_uv=False) ** 2
    return 0.5 * float(np.log1p(squares / (len(points) * epsilon)).sum())
