"""How many candidates a point gets, from which groups, and what equal rows mean."""

from __future__ import annotations

import warnings

import jax
import numpy as np
from jax.sharding import Mesh

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.knn.cpu.by_gram import CloudGram, nearest_by_gram
from mgm_jax.geometry.knn.search import find_neighbours
from mgm_jax.geometry.points.duplicates import Distinct, distinct_rows
from mgm_jax.geometry.points.groups import Groups, encode_groups

DEFAULT_K = 50
"""Candidates of a point where its group is large enough and nothing else is asked for."""

GRAM_LIMIT = 256
"""Largest group that is worked on through its whole Gram matrix; larger ones gather rows."""

ROWS_AT_ONCE = 128
"""Points of a large group that are worked on together."""


def candidates_of(size: int, k: int | None) -> int:
    """Candidates of each point of a group: k, by default 50, at most all other members.

    >>> candidates_of(32, None), candidates_of(80, None)
    (31, 50)
    """
    return min(DEFAULT_K if k is None else k, size - 1)


def check_group_sizes(
    groups: Groups, k: int | None, *, least: int = 2, distinct: bool = False
) -> None:
    """Raise InputError if k is below 1 or a group is too small to have k candidates.

    Args:
        groups: the partition.
        k: what the caller asked for; None takes what there is.
        least: fewest points of a group.
        distinct: whether repeats have been taken out of the groups, for the message.
    """
    if k is not None and k < 1:
        raise InputError(f"k must be at least 1; got {k}.")
    needed = least if k is None else max(least, k + 1)
    asked = "Neighbours need" if k is None else f"k={k} needs"
    groups.refuse_smaller(
        needed,
        need=f"{asked} groups of at least {needed} {'distinct ' * distinct}points; got too few",
        remedy="Leave them out or take a smaller k.",
    )


def tell_about_repeats(distinct: Distinct, groups: Groups, policy: str, *, stacklevel: int) -> None:
    """Warn about equal rows or refuse them, as the policy says; ``"drop"`` is silent.

    Args:
        distinct: the distinct rows.
        groups: the partition of all rows.
        policy: ``"warn"``, ``"drop"`` or ``"raise"``.
        stacklevel: of the warning.
    """
    rows = distinct.repeated
    where = np.unique(groups.codes[rows])
    what = (
        f"{rows.size} rows repeat an earlier row of their group (rows {name_some(rows)}; "
        f"groups {name_some(groups.values[where])})"
    )
    if policy == "raise":
        raise InputError(f"x must have distinct rows in every group; {what}.")
    if policy == "warn":
        warnings.warn(
            f"{what}: such points have their copy as only neighbour. Pass duplicates='drop' to "
            "work on the distinct rows.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )


def check_policy(policy: str) -> None:
    """Raise InputError unless ``policy`` names what to do about equal rows."""
    if policy not in ("warn", "drop", "raise"):
        raise InputError(f"duplicates must be 'warn', 'drop' or 'raise'; got {policy!r}.")


def nearest_in_cloud_of(
    points: jax.Array | np.ndarray,
    *,
    k: int,
    on_sphere: bool,
    mesh: Mesh | None,
    gram: CloudGram | None = None,
    size: int | None = None,
) -> np.ndarray:
    """Rows of the k nearest other points of every point of one large group, ``[n, k]`` int32.

    Equal rows count as neighbours.

    Args:
        points: ``[n, d]``.
        k: neighbours of every point.
        on_sphere: whether the points are meant on the unit sphere.
        mesh: devices to spread the search over; None for one.
        gram: of the points as they are meant, on a CPU where it is at hand: no pair is multiplied
            twice.
        size: n where rows follow that fill up the shares of the mesh; None for all.
    """
    together = encode_groups(None, len(points) if size is None else size)
    distinct = distinct_rows(points, together)
    metric = "cosine" if on_sphere else "euclidean"
    if gram is not None and mesh is None and distinct is None:
        return nearest_by_gram(np.asarray(points), k=k, metric=metric, cloud=gram).indices
    return find_neighbours(
        points, together, k=k, metric=metric, distinct=distinct, mesh=mesh
    ).indices


def row_batches(size: int, *, at_once: int = ROWS_AT_ONCE) -> list[np.ndarray]:
    """Rows in batches of one length; the last one reaches back to be full.

    >>> [(batch[0].item(), batch.size) for batch in row_batches(200)]
    [(0, 128), (72, 128)]
    """
    length = min(size, at_once)
    starts = [*range(0, size - length, length), size - length]
    return [np.arange(start, start + length) for start in starts]
