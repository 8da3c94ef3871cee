"""Checked points in, neighbours out: takes equal rows together and picks the fitting search."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mgm_jax.geometry.backend.precision import ScanPrecision
from mgm_jax.geometry.knn.cpu.by_gram import nearest_by_gram, suits_gram
from mgm_jax.geometry.knn.cpu.by_pairs import nearest_by_pairs
from mgm_jax.geometry.knn.cpu.in_small_groups import are_small, nearest_in_small_groups
from mgm_jax.geometry.knn.distance import Metric
from mgm_jax.geometry.knn.in_groups import nearest_in_groups
from mgm_jax.geometry.knn.mesh.on_mesh import nearest_on_mesh
from mgm_jax.geometry.knn.on_device import nearest_in_cloud
from mgm_jax.geometry.knn.repeats import expand
from mgm_jax.geometry.knn.tile import Nearest, SearchOptions
from mgm_jax.geometry.points.duplicates import Distinct
from mgm_jax.geometry.points.groups import Groups
from mgm_jax.parallel.devices import at_hand, fetch


def find_neighbours(
    points: jax.Array | np.ndarray,
    groups: Groups,
    *,
    k: int,
    metric: Metric,
    distinct: Distinct | None,
    base: jax.Array | np.ndarray | None = None,
    repeats: bool = True,
    precision: ScanPrecision = "auto",
    mesh: Mesh | None = None,
    tile_rows: int | None = None,
    tile_columns: int | None = None,
) -> Nearest:
    """The k nearest of every point within its group, or among a base.

    Args:
        points: ``[n, d]`` as ``check_points`` returns them; on a mesh, where they are their own
            base, rows may follow that fill up its shares.
        groups: partition of the points, or of the base where there is one.
        k: number of neighbours; places that a group is too small to fill stay open.
        metric: which distance.
        distinct: the distinct rows of what is sought among; None where all rows are.
        base: ``[m, d]``, one group; None for the points themselves, each without itself.
        repeats: whether rows that repeat an earlier one are neighbours too.
        precision: type of the scan.
        mesh: devices to spread the work over; None for one.
        tile_rows: points scanned at once in one cloud.
        tile_columns: points they are compared with at once.

    Returns:
        Neighbours by their rows in the points (or the base), distances in their units.
    """
    options = SearchOptions(
        k=k, metric=metric, precision=precision, tile_rows=tile_rows, tile_columns=tile_columns
    )
    own = base is None
    rows = None
    if own and len(points) > groups.codes.size:
        rows = np.arange(groups.codes.size)
    if distinct is not None:
        groups, rows = distinct.groups, distinct.rows
    if mesh is None or len(groups) > 1:
        # A ring takes its rows itself, and leaves the points spread; all else has them at hand.
        points = points if at_hand(points) else fetch(points)
        if rows is not None and base is None:
            points = points[rows]
        elif rows is not None and base is not None:
            base = base[rows]
    if _fit_small_groups(points, groups, base, metric=metric, mesh=mesh):
        results = nearest_in_small_groups(np.asarray(points), groups, k=k)
    elif len(groups) > 1:
        results = nearest_in_groups(
            jnp.asarray(points), groups, k=k, metric=metric, precision=precision, mesh=mesh
        )
    elif mesh is not None:
        results = nearest_on_mesh(
            points,
            base,
            options,
            mesh=mesh,
            rows=rows if own else None,
            base_rows=None if own else rows,
        )
    elif _fits_gram(points, base, options):
        results = nearest_by_gram(np.asarray(points), k=k, metric=metric)
    else:
        search = nearest_by_pairs if jax.default_backend() == "cpu" else nearest_in_cloud
        results = search(points, base, options)
    return results if distinct is None else expand(results, distinct, own=own, repeats=repeats)


def _fits_gram(
    points: jax.Array | np.ndarray,
    base: jax.Array | np.ndarray | None,
    options: SearchOptions,
) -> bool:
    """Whether a CPU can take a cloud by its Gram matrix; who asks for a kind of scan gets one."""
    small = jax.default_backend() == "cpu" and base is None and suits_gram(len(points), options.k)
    asked = options.precision != "auto" or options.tile_rows or options.tile_columns
    return small and not asked


def _fit_small_groups(
    points: jax.Array | np.ndarray,
    groups: Groups,
    base: jax.Array | np.ndarray | None,
    *,
    metric: Metric,
    mesh: Mesh | None,
) -> bool:
    """Whether a CPU can take each group by its Gram matrix."""
    on_cpu = jax.default_backend() == "cpu" and mesh is None and base is None
    return (
        on_cpu
        and metric == "euclidean"
        and len(groups) > 1
        and are_small(np.asarray(points), groups)
    )
