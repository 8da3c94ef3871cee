"""Local PCA: the spectrum and the dimension of every neighbourhood, from k x k Gram matrices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.duplicates import distinct_rows
from mgm_jax.geometry.groups import Groups, encode_groups
from mgm_jax.geometry.knn_search import find_neighbours
from mgm_jax.geometry.knn_tile import PROGRESS_FROM
from mgm_jax.geometry.local_spectrum import centred_gram, local_spectrum
from mgm_jax.geometry.points import check_points, normalise
from mgm_jax.geometry.precision import double_precision
from mgm_jax.geometry.selection import NOBODY
from mgm_jax.progress import progress

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_K = 50
_ROWS = 256


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["dimension", "participation_ratio", "spectrum", "k_effective"],
    meta_fields=[],
)
@dataclass(frozen=True, kw_only=True)
class LocalPca:
    """Spectra of the neighbourhoods of n points.

    Attributes:
        dimension: fewest directions that hold the asked share of the variance, ``[n]`` int32;
            0 where the neighbours coincide, so that there is no variance to hold.
        participation_ratio: ``(sum l)^2 / sum l^2`` of the spectrum, ``[n]`` float32, between 1
            and the rank; 0 where the dimension is 0.
        spectrum: eigenvalues l of the neighbours' covariance (divided by k, not k - 1),
            descending, ``[n, k]`` float32; zeros fill the places beyond ``k_effective``.
        k_effective: neighbours a point had, ``[n]`` int32.
    """

    dimension: np.ndarray
    participation_ratio: np.ndarray
    spectrum: np.ndarray
    k_effective: np.ndarray

    def to_pandas(self) -> pd.DataFrame:
        """One row a point: dimension, participation ratio and effective k."""
        import pandas as pd

        return pd.DataFrame(
            {
                "pca_dimension": self.dimension,
                "pca_participation_ratio": self.participation_ratio,
                "k_effective": self.k_effective,
            }
        )

    def __repr__(self) -> str:
        """Number of points, neighbours and typical dimension in one line."""
        return (
            f"LocalPca({self.dimension.size} points, k={self.spectrum.shape[1]}, "
            f"mean dimension {self.dimension.mean():.2f}, "
            f"mean participation ratio {self.participation_ratio.mean():.2f})"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the line above and the quartiles of the columns."""
        return f"<p>{self!r}</p>{self.to_pandas().describe().round(3).to_html()}"


def local_pca(
    x: Any,
    *,
    k: int | None = None,
    threshold: float = 0.95,
    groups: Any = None,
    normalize: bool = False,
) -> LocalPca:
    """Principal components of every point's k nearest neighbours (Fukunaga & Olsen 1971).

    The neighbours (Euclidean, the point itself left out) are centred on their own mean; the
    eigenvalues of their covariance ``1/k sum_j (x_j - m)(x_j - m)'`` are those of the k x k
    centred Gram matrix over k. The covariance with its d x d entries is never formed. Eigenvalues
    below about 1e-6 of the largest are rounding of the float32 products.

    Args:
        x: points ``[n, d]``, NumPy or JAX.
        k: neighbours a point; None for 50, or all others where a group has fewer.
        threshold: share of the variance that ``dimension`` directions must hold, in (0, 1].
        groups: one integer or string a point; neighbourhoods stay within the group.
        normalize: whether to scale the points to length 1 first.

    Returns:
        A ``LocalPca``, in the units of the points.

    Raises:
        InputError: unusable points, a threshold outside (0, 1], groups of one point, or k too
            large for some groups, which are named.

    Example:
        >>> line = np.arange(8.0)[:, None] * np.ones((1, 3))
        >>> local_pca(line, k=4).dimension.tolist()
        [1, 1, 1, 1, 1, 1, 1, 1]
    """
    if not 0 < threshold <= 1:
        raise InputError(f"threshold must be above 0 and at most 1; got {threshold}.")
    points = check_points(x, name="x", cosine=normalize)
    n = points.shape[0]
    partition = encode_groups(groups, n)
    if normalize:
        points = normalise(points)
    wanted = neighbours_per_group(k, partition)
    found = find_neighbours(
        points,
        partition,
        k=wanted,
        metric="euclidean",
        distinct=distinct_rows(points, partition),
    )
    table = jnp.asarray(points)
    parts = []
    with progress("local PCA", total=n if n > PROGRESS_FROM else 0, unit="point") as bar:
        for start in range(0, n, _ROWS):
            rows = np.arange(start, min(start + _ROWS, n))
            padded = np.pad(rows, (0, _ROWS - rows.size), mode="edge")
            with double_precision():
                centred = np.asarray(_centred_grams(table, padded, found.indices[padded]))
            parts.append(local_spectrum(centred[: rows.size], threshold=threshold))
            bar.advance(rows.size)
    dimension, ratio, spectrum = (np.concatenate(part) for part in zip(*parts, strict=True))
    count = (found.indices != NOBODY).sum(axis=1).astype(np.int32)
    return LocalPca(
        dimension=dimension,
        participation_ratio=ratio.astype(np.float32),
        spectrum=(spectrum / np.maximum(count, 1)[:, None]).astype(np.float32),
        k_effective=count,
    )


def neighbours_per_group(k: int | None, groups: Groups, *, default: int = DEFAULT_K) -> int:
    """The k to search for: the one asked for, or the default as far as the groups go.

    Raises:
        InputError: groups of one point, k below 1, or groups of k points or fewer where k was
            asked for; the groups are named.

    Example:
        >>> neighbours_per_group(None, encode_groups([0] * 9, 9))
        8
    """
    if k is not None and k < 1:
        raise InputError(f"k must be at least 1; got {k}.")
    needed = 1 if k is None else k
    small = np.flatnonzero(groups.sizes <= needed)
    if small.size:
        sizes = (f"{groups.values[code]!s} ({groups.sizes[code]})" for code in small)
        raise InputError(
            f"every group must have more than {needed} points; "
            f"got fewer in the groups {name_some(sizes)}. Leave them out"
            + (", or lower k." if k is not None and k > 1 else ".")
        )
    return k if k is not None else min(default, int(groups.sizes.max()) - 1)


@jax.jit
def _centred_grams(table: jax.Array, rows: jax.Array, neighbours: jax.Array) -> jax.Array:
    def gram_of(row: tuple[jax.Array, jax.Array]) -> jax.Array:
        centre, chosen = row
        differences = table[jnp.where(chosen == NOBODY, centre, chosen)] - table[centre]
        return jnp.matmul(
            differences,
            differences.T,
            precision=jax.lax.Precision.HIGHEST,
            preferred_element_type=jnp.float32,
        )

    # One neighbourhood after the other: a batched gather would hold all of them at once.
    grams = jax.lax.map(gram_of, (rows, neighbours)).astype(jnp.float64)
    return centred_gram(grams, neighbours != NOBODY)
