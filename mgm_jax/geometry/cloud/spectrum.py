# pyright: strict, reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Measures of a whole cloud read off its spectrum: RankMe, alpha-ReQ, NESum.

All of them follow from the moments of the points (``moments``), so clouds that come in chunks are
measured like those that are held at once. What needs views of images, or all pairs, lives in
``views``, ``whitening`` and ``uniformity``; their public names are found here too.

A singular value is the root of an eigenvalue of a ``d x d`` matrix that float64 rounds at 1e-16
of the largest. So singular values below about 1e-8 of the largest are noise of that size; RankMe
adds 1e-7 to every share, and moves by less than ``2e-7 min(n, d)`` of itself. Where there are
fewer points than features the ``n x n`` Gram matrix is used, with the same resolution and less
work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mgm_jax.geometry.cloud.effective_rank import (
    eigenvalues_of,
    entropy_rank,
    power_law,
    rounding_eigenvalue,
    squared_singular_values,
)
from mgm_jax.geometry.cloud.moments import Moments, moments_of
from mgm_jax.geometry.cloud.uniformity import uniformity
from mgm_jax.geometry.cloud.views import alignment, lidar, mean_cosine
from mgm_jax.geometry.cloud.whitening import whitened_invariance
from mgm_jax.geometry.points.checks import check_points
from mgm_jax.shown.result import Result

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Spectrum",
    "alignment",
    "alpha_req",
    "lidar",
    "mean_cosine",
    "nesum",
    "rankme",
    "spectrum",
    "spectrum_of",
    "uniformity",
    "whitened_invariance",
]


@dataclass(frozen=True, kw_only=True)
class Spectrum(Result):
    """The spectrum of a cloud and what is read off it.

    Attributes:
        singular_values: of the points as they are, descending, ``[min(n, d)]`` float64.
        eigenvalues: of the covariance (divided by n - 1), descending, ``[min(n - 1, d)]`` float64.
        rankme: effective rank, from 1 to min(n, d); see ``rankme``.
        alpha_req: decay of the eigenvalues; NaN where fewer than three are above rounding.
        nesum: sum of the eigenvalues over the largest, from 1 to d; NaN for a constant cloud.
    """

    singular_values: np.ndarray
    eigenvalues: np.ndarray
    rankme: float
    alpha_req: float
    nesum: float

    def to_pandas(self) -> pd.DataFrame:
        """One row: rankme, alpha_req and nesum."""
        import pandas as pd

        return pd.DataFrame(
            [{"rankme": self.rankme, "alpha_req": self.alpha_req, "nesum": self.nesum}]
        )

    def __repr__(self) -> str:
        """The three numbers in one line."""
        return (
            f"Spectrum(rankme={self.rankme:.4g}, alpha_req={self.alpha_req:.4g}, "
            f"nesum={self.nesum:.4g})"
        )

    def _picture(self) -> str:
        from mgm_jax.shown.plot import curve_svg

        ranks = np.arange(1, self.eigenvalues.size + 1)
        logs = np.log10(np.where(self.eigenvalues > 0, self.eigenvalues, np.nan))
        return curve_svg(ranks, {"": logs}, across="log10 eigenvalue over rank", logarithmic=True)


def spectrum(x: Any) -> Spectrum:
    """Singular values, eigenvalues, RankMe, alpha-ReQ and NESum of a cloud in one go.

    Args:
        x: points ``[n, d]``, NumPy or JAX.

    Returns:
        A ``Spectrum``.

    Raises:
        InputError: unusable points.

    Example:
        >>> spectrum(np.eye(4)).rankme.__round__(3)
        4.0
    """
    points = check_points(x, name="x")
    n, d = points.shape
    if n >= d:
        return spectrum_of(moments_of(points))
    wide = np.asarray(points).astype(np.float64)
    squares = squared_singular_values(wide)
    wide -= wide.mean(axis=0)
    return _read(squares, squared_singular_values(wide), count=n, features=d)


def spectrum_of(moments: Moments) -> Spectrum:
    """The ``Spectrum`` of a cloud of which only the moments are known.

    Args:
        moments: of at least two points, from ``moments_of_chunks`` for instance.

    Raises:
        InputError: moments of fewer than two points.

    Example:
        >>> spectrum_of(moments_of(np.eye(4))).rankme.__round__(3)
        4.0
    """
    known = moments.needing(2)
    return _read(
        eigenvalues_of(known.uncentred()),
        eigenvalues_of(known.scatter),
        count=known.count,
        features=known.features,
    )


def rankme(x: Any) -> float:
    """Effective rank ``exp(-sum p log p)``, ``p_i = s_i / sum s + 1e-7`` (Garrido et al. 2023).

    Args:
        x: points ``[n, d]``; s are their singular values, not centred.

    Returns:
        From about 1 (one direction) to min(n, d) (all directions alike).

    Raises:
        InputError: unusable points.

    Example:
        >>> round(rankme(np.eye(3)), 3)
        3.0
    """
    return spectrum(x).rankme


def alpha_req(x: Any) -> float:
    """Decay ``l_i ~ i^-alpha`` of the covariance spectrum (Agrawal et al. 2022).

    The slope of log eigenvalue over log rank, by least squares with weight 1/i, over ranks 11 to
    100; over all ranks where fewer than three of these are above rounding.

    Args:
        x: points ``[n, d]``.

    Returns:
        Alpha: 0 for a flat spectrum, larger for faster decay; NaN where fewer than three
        eigenvalues are above rounding.

    Raises:
        InputError: unusable points.

    Example:
        >>> abs(alpha_req(np.concatenate([np.eye(5), -np.eye(5)]))) < 1e-6
        True
    """
    return spectrum(x).alpha_req


def nesum(x: Any) -> float:
    """Sum of the covariance eigenvalues over the largest, ``sum l_i / l_1`` (He & Ozay 2022).

    Args:
        x: points ``[n, d]``.

    Returns:
        From 1 (one direction) to d; NaN for a constant cloud.

    Raises:
        InputError: unusable points.

    Example:
        >>> round(nesum(np.concatenate([np.eye(5), -np.eye(5)])), 3)
        5.0
    """
    return spectrum(x).nesum


def _read(squares: np.ndarray, scatter: np.ndarray, *, count: int, features: int) -> Spectrum:
    """The measures of ``count`` points from squared singular values, as they are and centred."""
    rounding = rounding_eigenvalue(squares, count=count, features=features)
    singular = np.sqrt(squares[:count])
    eigenvalues = scatter[: count - 1] / (count - 1)
    return Spectrum(
        singular_values=singular,
        eigenvalues=eigenvalues,
        rankme=entropy_rank(singular),
        alpha_req=power_law(eigenvalues, rounding=rounding),
        nesum=float(eigenvalues.sum() / eigenvalues[0]) if eigenvalues[0] > 0 else float("nan"),
    )
