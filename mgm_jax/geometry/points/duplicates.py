"""Equal rows, and the distinct ones that stand for them."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from mgm_jax.geometry.points.checks import find_duplicates
from mgm_jax.geometry.points.groups import Groups, encode_groups


@dataclass(frozen=True, kw_only=True)
class Distinct:
    """The distinct rows of n points, within their groups.

    Attributes:
        rows: first row of every set of equal rows, ``[u]``, ascending.
        codes: place in ``rows`` of every point, ``[n]``.
        repeated: the points that equal an earlier one, ascending.
        groups: the groups of the distinct rows.
    """

    rows: np.ndarray
    codes: np.ndarray
    repeated: np.ndarray
    groups: Groups


def distinct_rows(x: jax.Array | np.ndarray, groups: Groups) -> Distinct | None:
    """Find the rows that are distinct within their group; None where all are.

    Args:
        x: points ``[n, d]`` without NaN; what follows them fills up the shares of devices.
        groups: their partition; equal rows of different groups do not count.
    """
    n = groups.codes.size
    # A row is said to equal the first such, so that what follows changes nothing.
    equal_to = find_duplicates(x)[:n].astype(np.int64)
    if (equal_to == np.arange(n)).all():
        return None
    keys = groups.codes.astype(np.int64) * n + equal_to
    _, firsts, codes = np.unique(keys, return_index=True, return_inverse=True)
    if firsts.size == n:
        return None
    # Distinct rows in the order of the points, so that ties go the same way in both numberings.
    positions = np.argsort(np.argsort(firsts))
    rows = np.sort(firsts)
    kept = encode_groups(groups.codes[rows], rows.size)
    return Distinct(
        rows=rows,
        codes=positions[codes.reshape(n)],
        repeated=np.setdiff1d(np.arange(n), rows),
        groups=Groups(codes=kept.codes, values=groups.values, sizes=kept.sizes),
    )
