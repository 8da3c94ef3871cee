"""Measures of a whole cloud: its spectrum, and how its directions spread over the sphere.

All of them are computed in float64 from moments: singular values are those of the smaller of the
two Gram matrices of the points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.groups import Groups, encode_groups
from mgm_jax.geometry.points import check_points, normalise

if TYPE_CHECKING:
    import pandas as pd

_POWER_LAW_RANKS = (11, 100)
_TILE = 1024


@dataclass(frozen=True, kw_only=True)
class Spectrum:
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
    points = _double(x)
    singular = np.sqrt(_squared_singular_values(points))
    count = min(points.shape[0] - 1, points.shape[1])
    centred = points - points.mean(axis=0)
    eigenvalues = _squared_singular_values(centred)[:count] / (points.shape[0] - 1)
    return Spectrum(
        singular_values=singular,
        eigenvalues=eigenvalues,
        rankme=_entropy_rank(singular, epsilon=1e-7),
        alpha_req=_power_law(eigenvalues),
        nesum=float(eigenvalues.sum() / eigenvalues[0]) if eigenvalues[0] > 0 else float("nan"),
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


def lidar(x: Any, groups: Any, *, delta: float = 1e-4) -> float:
    """Effective rank of what tells images apart from their views (Thilak et al. 2024).

    ``exp(-sum p log p)`` over the eigenvalues of ``W^-1/2 B W^-1/2``, with B the covariance of the
    group means, W the covariance within groups plus ``delta`` on the diagonal, and
    ``p = l / sum l + 1e-7``.

    Args:
        x: embeddings of views ``[n, d]``.
        groups: the image of every view; at least two views an image.
        delta: what keeps W invertible, in squared units of x.

    Returns:
        From about 1 to min(g - 1, d).

    Raises:
        InputError: unusable points, fewer than two groups, groups of one point, delta not above 0.

    Example:
        >>> views = np.repeat(np.eye(4), 2, axis=0)
        >>> round(lidar(views, np.repeat(np.arange(4), 2)), 3)
        3.0
    """
    if not delta > 0:
        raise InputError(f"delta must be above 0; got {delta}.")
    points = _double(x)
    partition = _views(groups, points.shape[0])
    means = _group_sums(points, partition) / partition.sizes[:, None]
    between = means - means.mean(axis=0)
    within = points - means[partition.codes]
    covariance = within.T @ within / (points.shape[0] - len(partition))
    values, vectors = np.linalg.eigh(covariance)
    whitened = between @ (vectors / np.sqrt(np.maximum(values, 0) + delta))
    eigenvalues = _squared_singular_values(whitened) / max(len(partition) - 1, 1)
    return _entropy_rank(eigenvalues, epsilon=1e-7)


def alignment(x: Any, groups: Any) -> float:
    """Mean squared distance of two views of one image on the sphere (Wang & Isola 2020, alpha 2).

    ``mean over groups of mean over i != j of |u_i - u_j|^2`` with ``u = x / |x|``.

    Args:
        x: embeddings of views ``[n, d]``.
        groups: the image of every view; at least two views an image.

    Returns:
        From 0 (all views agree) to 4.

    Raises:
        InputError: unusable points, rows of zeros, groups of one point.

    Example:
        >>> alignment(np.eye(4), [0, 0, 1, 1])
        2.0
    """
    unit = _unit(x)
    partition = _views(groups, unit.shape[0], least=1)
    means = _group_sums(unit, partition) / partition.sizes[:, None]
    # From differences to the group mean: identical views come out as 0, not as rounding.
    spread = np.sum((unit - means[partition.codes]) ** 2, axis=1)
    per_group = np.bincount(partition.codes, weights=spread)
    return float(np.mean(2 * per_group / (partition.sizes - 1)))


def uniformity(x: Any, *, t: float = 2.0) -> float:
    """Log of the mean Gaussian potential over all pairs (Wang & Isola 2020).

    ``log mean over i < j of exp(-t |u_i - u_j|^2)`` with ``u = x / |x|``, tile by tile.

    Args:
        x: points ``[n, d]``.
        t: sharpness, above 0.

    Returns:
        From -4 t (opposite pairs) to 0 (one direction); lower is more uniform.

    Raises:
        InputError: unusable points, rows of zeros, t not above 0.

    Example:
        >>> round(uniformity(np.eye(3)), 3)
        -4.0
    """
    if not t > 0:
        raise InputError(f"t must be above 0; got {t}.")
    unit = normalise(check_points(x, name="x", cosine=True))
    n = unit.shape[0]
    padded = jnp.pad(unit, ((0, -n % min(_TILE, n)), (0, 0)))
    rows = _potentials(padded, n, t, tile=min(_TILE, n))
    return float(np.log(np.asarray(rows, np.float64).sum() / (n * (n - 1.0))))


def mean_cosine(x: Any, *, groups: Any = None) -> float:
    """Mean cosine of two different points: how narrow the cone is that all of them lie in.

    ``mean over pairs of u_i'u_j`` with ``u = x / |x|``, from sums alone.

    Args:
        x: points ``[n, d]``.
        groups: one integer or string a point; then only pairs from different groups count, such
            as views of different images. None counts all pairs.

    Returns:
        From -1 / (n - 1) to 1; 1 is a collapsed cloud, 0 a spread one.

    Raises:
        InputError: unusable points, rows of zeros, only one group.

    Example:
        >>> mean_cosine(np.eye(3))
        0.0
    """
    unit = _unit(x)
    n = unit.shape[0]
    partition = encode_groups(np.arange(n) if groups is None else groups, n)
    if len(partition) < 2:
        raise InputError(
            "groups must name at least two groups, to compare points of different ones; got one."
        )
    sums = _group_sums(unit, partition)
    sizes = partition.sizes.astype(np.float64)
    total = sums.sum(axis=0)
    pairs = total @ total - np.sum(sums * sums)
    return float(pairs / (n * float(n) - sizes @ sizes))


def _double(x: Any, *, cosine: bool = False) -> np.ndarray:
    return np.asarray(check_points(x, name="x", cosine=cosine)).astype(np.float64)


def _unit(x: Any) -> np.ndarray:
    points = _double(x, cosine=True)
    points /= np.abs(points).max(axis=1, keepdims=True)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def _views(groups: Any, n: int, *, least: int = 2) -> Groups:
    partition = encode_groups(groups, n)
    if len(partition) < least:
        raise InputError(f"groups must name at least {least} images; got {len(partition)}.")
    single = np.flatnonzero(partition.sizes < 2)
    if single.size:
        raise InputError(
            "groups must hold at least two views of every image; "
            f"got one of {name_some(partition.values[single])}. Leave these out."
        )
    return partition


def _group_sums(points: np.ndarray, groups: Groups) -> np.ndarray:
    order = np.argsort(groups.codes, kind="stable")
    return np.add.reduceat(points[order], np.cumsum(groups.sizes) - groups.sizes, axis=0)


def _squared_singular_values(points: np.ndarray) -> np.ndarray:
    rows, columns = points.shape
    gram = points @ points.T if rows < columns else points.T @ points
    return np.maximum(np.linalg.eigvalsh(gram)[::-1], 0)


def _entropy_rank(values: np.ndarray, *, epsilon: float) -> float:
    total = values.sum()
    shares = (values / total if total > 0 else np.zeros_like(values)) + epsilon
    return float(np.exp(-np.sum(shares * np.log(shares))))


def _power_law(eigenvalues: np.ndarray) -> float:
    floor = eigenvalues[0] * eigenvalues.size * np.finfo(np.float32).eps
    last = int(np.sum(eigenvalues > floor))
    ranks = np.arange(_POWER_LAW_RANKS[0], min(_POWER_LAW_RANKS[1], last) + 1)
    if ranks.size < 3:
        ranks = np.arange(1, last + 1)
    if ranks.size < 3:
        return float("nan")
    logs = np.log(ranks)
    slope, _ = np.polyfit(logs, np.log(eigenvalues[ranks - 1]), 1, w=1 / np.sqrt(ranks))
    return float(-slope)


@partial(jax.jit, static_argnames="tile")
def _potentials(unit: jax.Array, n: int, t: float, *, tile: int) -> jax.Array:
    """Every point's sum of potentials with all others, ``[tiles, tile]``; padding adds 0."""
    starts = jnp.arange(0, unit.shape[0], tile)
    columns = jnp.arange(unit.shape[0])

    def of_tile(start: jax.Array) -> jax.Array:
        rows = jax.lax.dynamic_slice_in_dim(unit, start, tile)
        cosines = jnp.matmul(rows, unit.T, precision=jax.lax.Precision.HIGHEST)
        names = start + jnp.arange(tile)
        pairs = (names[:, None] != columns) & (names[:, None] < n) & (columns < n)
        # Rows are unit vectors, so |u - v|^2 = 2 - 2 u'v.
        return jnp.sum(jnp.where(pairs, jnp.exp(-2 * t * (1 - cosines)), 0), axis=1)

    return jax.lax.map(of_tile, starts)
