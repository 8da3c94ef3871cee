# pyright: strict, reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Local PCA: the spectrum and the dimension of every neighbourhood, from k x k Gram matrices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.knn.cpu.by_gram import CloudGram, nearest_by_gram
from mgm_jax.geometry.knn.graph import KnnGraph
from mgm_jax.geometry.knn.search import find_neighbours
from mgm_jax.geometry.knn.selection import NOBODY
from mgm_jax.geometry.knn.tile import PROGRESS_FROM
from mgm_jax.geometry.local.gram import spectra_of
from mgm_jax.geometry.nnk.grams_from_cloud import cloud_gram_if_worth
from mgm_jax.geometry.points.checks import as_array, check_points, common_offset, normalise
from mgm_jax.geometry.points.duplicates import distinct_rows
from mgm_jax.geometry.points.frames import refuse_other_order
from mgm_jax.geometry.points.groups import Groups, encode_groups
from mgm_jax.progress import progress
from mgm_jax.shown.result import Result
from mgm_jax.whole_numbers import whole_number

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_K = 50


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["dimension", "participation_ratio", "spectrum", "k_effective"],
    meta_fields=[],
)
@dataclass(frozen=True, kw_only=True)
class LocalPca(Result):
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

    def _picture(self) -> str:
        from mgm_jax.shown.histogram import histogram_svg

        return histogram_svg(self.dimension)

    def _shown_table(self) -> pd.DataFrame:
        return self.to_pandas().describe()


def local_pca(
    x: Any,
    *,
    k: int | None = None,
    threshold: float = 0.95,
    groups: Any = None,
    normalize: bool = False,
    graph: KnnGraph | None = None,
) -> LocalPca:
    """Principal components of every point's k nearest neighbours (Fukunaga & Olsen 1971).

    The neighbours (Euclidean, the point itself left out) are centred on their own mean; the
    eigenvalues of their covariance ``1/k sum_j (x_j - m)(x_j - m)'`` are those of the k x k
    centred Gram matrix over k, computed in float64 from differences. The covariance with its
    d x d entries is never formed.

    Args:
        x: points ``[n, d]``, NumPy or JAX.
        k: neighbours a point; None for 50, or all others where a group has fewer.
        threshold: share of the variance that ``dimension`` directions must hold, in (0, 1].
        groups: one integer or string a point; neighbourhoods stay within the group.
        normalize: whether to scale the points to length 1 first.
        graph: neighbours that are known already, of the same points in the same groups; then k is
            left out. Its metric is what the neighbours were chosen by, and does not matter here.

    Returns:
        A ``LocalPca``, in the units of the points.

    Raises:
        InputError: unusable points, a threshold outside (0, 1], groups of one point, k too
            large for some groups, which are named, a graph of other points or groups, or
            variances beyond the range of float32.

    Example:
        >>> line = np.arange(8.0)[:, None] * np.ones((1, 3))
        >>> local_pca(line, k=4).dimension.tolist()
        [1, 1, 1, 1, 1, 1, 1, 1]
    """
    if not 0 < threshold <= 1:
        raise InputError(f"threshold must be above 0 and at most 1; got {threshold}.")
    refuse_other_order(x, groups, names=("x", "groups"))
    x = as_array(x)
    offset = None if normalize else common_offset(x)
    points = check_points(x, name="x", cosine=normalize, offset=offset)
    n = points.shape[0]
    partition = encode_groups(groups, n)
    if normalize:
        points = normalise(points)
    cloud = None
    if graph is not None:
        neighbours = _given(graph, partition, k=k)
    else:
        neighbours, cloud = _search(points, partition, k=k)
    wanted = neighbours.shape[1]
    dimension, ratio = np.empty(n, np.int32), np.empty(n)
    spectrum = np.empty((n, wanted))
    with progress(
        "local PCA", total=n if n > PROGRESS_FROM else 0, unit="point", compiles=True
    ) as bar:
        spectra = spectra_of(points, neighbours, partition, threshold=threshold, cloud=cloud)
        for rows, results in spectra:
            dimension[rows], ratio[rows], spectrum[rows] = results
            bar.advance(rows.size)
    count = (neighbours != NOBODY).sum(axis=1).astype(np.int32)
    return LocalPca(
        dimension=dimension,
        participation_ratio=ratio.astype(np.float32),
        spectrum=_in_float32(spectrum / np.maximum(count, 1)[:, None]),
        k_effective=count,
    )


def _in_float32(spectrum: np.ndarray) -> np.ndarray:
    largest = spectrum.max(axis=1)
    limits = np.finfo(np.float32)
    bad = np.flatnonzero((largest > limits.max) | ((largest > 0) & (largest < limits.tiny)))
    if bad.size:
        raise InputError(
            "variances of neighbours must fit into float32, from 1.2e-38 to 3.4e38; they do not "
            f"in {bad.size} rows (rows {name_some(bad)}). Scale the points to about 1 first."
        )
    return spectrum.astype(np.float32)


def neighbours_per_group(k: int | None, groups: Groups, *, default: int = DEFAULT_K) -> int:
    """The k to search for: the one asked for, or the default as far as the groups go.

    Raises:
        InputError: groups of one point, k below 1, or groups of k points or fewer where k was
            asked for; the groups are named.

    Example:
        >>> neighbours_per_group(None, encode_groups([0] * 9, 9))
        8
    """
    k = None if k is None else whole_number(k, name="k")
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


def _search(
    points: jax.Array | np.ndarray, groups: Groups, *, k: int | None
) -> tuple[np.ndarray, CloudGram | None]:
    """Neighbours, and the Gram matrix of all points where one group is best served by it."""
    wanted = neighbours_per_group(k, groups)
    distinct = distinct_rows(points, groups)
    if len(groups) == 1 and distinct is None and jax.default_backend() == "cpu":
        table = np.asarray(points, np.float32)
        cloud = cloud_gram_if_worth(table, k=wanted, metric="euclidean")
        if cloud is not None:
            results = nearest_by_gram(table, k=wanted, metric="euclidean", cloud=cloud)
            return results.indices, cloud
    results = find_neighbours(points, groups, k=wanted, metric="euclidean", distinct=distinct)
    return results.indices, None


def _given(graph: KnnGraph, groups: Groups, *, k: int | None) -> np.ndarray:
    if k is not None:
        raise InputError(f"k and graph exclude each other; got k = {k} and a graph. Leave k out.")
    n = groups.codes.size
    if graph.n != n:
        raise InputError(f"graph must be of the {n} points of x; got one of {graph.n} points.")
    outside = graph.indices >= n
    if outside.any():
        raise InputError(
            f"graph must have rows of x as neighbours, below {n}; got {graph.indices.max()}. "
            "A graph that was made with a base does not fit."
        )
    rows = np.flatnonzero((groups.codes[graph.indices] != groups.codes[:, None]).any(axis=1))
    if rows.size:
        raise InputError(
            f"graph must keep to the groups; got neighbours of other groups in {rows.size} rows "
            f"(rows {name_some(rows)}). Make it with the same groups."
        )
    return graph.indices
