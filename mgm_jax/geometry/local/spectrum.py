"""Local PCA of many points at once, on the host.

Only eigenvalues are wanted, for which LAPACK needs half the time that eigenvectors take; and its
routines, called from compiled code by several devices of one process, can wait for each other for
ever. So the centred Gram matrices come back from the device, and NumPy does the rest while the
device works on the next batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

_FLOAT64 = float(np.finfo(np.float64).eps)


class LocalSpectrum(NamedTuple):
    """Local PCA of b points.

    Attributes:
        dimension: directions that hold the share of the variance, ``[b]`` int32.
        participation_ratio: effective number of directions, ``[b]``.
        spectrum: eigenvalues of the centred Gram matrices, ``[b, k]``, descending; over the
            number of candidates they are those of the covariance.
    """

    dimension: np.ndarray
    participation_ratio: np.ndarray
    spectrum: np.ndarray


def centred_gram(gram: Any, mask: Any) -> Any:
    """Gram matrices about the mean of the candidates, ``C G C`` with ``C = I - 11'/k``; pure.

    Args:
        gram: Gram matrices of differences to any point, ``[b, k, k]``; NumPy stays NumPy.
        mask: which candidates count, ``[b, k]`` bool.

    Returns:
        ``[b, k, k]``, 0 where masked and where the entries are rounding of ``gram``, so that
        candidates that coincide have no spread.
    """
    xp = np if isinstance(gram, np.ndarray) else jnp
    both = mask[:, :, None] & mask[:, None, :]
    gram = xp.where(both, gram, 0)
    share = mask / xp.maximum(xp.sum(mask, axis=1, keepdims=True), 1)
    row_means = xp.einsum("bjl,bl->bj", gram, share)
    mean = xp.einsum("bj,bj->b", row_means, share)
    centred = gram - row_means[:, :, None] - row_means[:, None, :] + mean[:, None, None]
    largest = xp.max(xp.diagonal(gram, axis1=1, axis2=2), axis=1)
    spread = xp.max(xp.diagonal(centred, axis1=1, axis2=2), axis=1)
    real = spread > _slack(gram.shape[-1]) * largest
    return xp.where(both & real[:, None, None], centred, 0)


def local_spectrum(
    centred: np.ndarray, *, threshold: float, unit: float = _FLOAT64
) -> LocalSpectrum:
    """Read the local dimension and the participation ratio off centred Gram matrices.

    Args:
        centred: from :func:`centred_gram`, ``[b, k, k]`` float64.
        threshold: share of the variance that the dimension explains, in (0, 1].
        unit: rounding of one operation that the matrices come from.

    Returns:
        The fewest eigenvalues l that add up to the share, and ``(sum l)^2 / sum l^2``; both 0
        where there is no spread.

    Example:
        >>> local_spectrum(np.diag([2.0, 2.0, 0.0])[None], threshold=0.95).dimension.tolist()
        [2]
    """
    values = np.linalg.eigvalsh(centred)[:, ::-1]
    slack = _slack(values.shape[1], unit)
    values = np.where(values > slack * values[:, :1], values, 0)
    total = values.sum(axis=1)
    safe = np.where(total > 0, total, 1)
    # The slack settles ties such as 19 of 20 equal directions at 0.95 as exact numbers would.
    short = np.cumsum(values, axis=1) / safe[:, None] < threshold - slack
    dimension = np.where(total > 0, short.sum(axis=1) + 1, 0).astype(np.int32)
    ratio = total**2 / np.where(total > 0, (values**2).sum(axis=1), 1)
    return LocalSpectrum(dimension, ratio, values)


def _slack(k: int, unit: float = _FLOAT64) -> float:
    """Rounding of k products, relative to the largest."""
    return 4 * k * unit
