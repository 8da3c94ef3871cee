"""Images that an encoder maps to zeros alone, such as a black one to its pixels.

Everything is measured on the unit sphere, where such an embedding has no place. It is one image's
fault, unless most images share it: then it is the encoder's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.sweep.plan.cells import Cell, Failure

#: Where the table of a cell keeps the ids of the images that were left out: in its ``attrs``.
LEFT_OUT = "without_direction"

# Values below it lose digits, and compilers take them for zero.
_TINY = np.finfo(np.float32).tiny


def have_direction(x: np.ndarray) -> np.ndarray:
    """Which embeddings ``[n, d]`` have one, ``[n]`` bool."""
    return np.any(np.abs(x) >= _TINY, axis=1)


def keep_directions(
    x: np.ndarray, rows: np.ndarray, cell: Cell, *, skip: bool
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Leave out the embeddings that have no direction.

    Args:
        x: embeddings, ``[m, d]``.
        rows: which rows of the cell they are, ``[m]``.
        cell: the cell.
        skip: whether the study skips what is wrong with one image.

    Returns:
        The embeddings and rows that are left, and the ids of the images that are not.

    Raises:
        InputError: some have none and ``skip`` is false, or most have none.
    """
    good = have_direction(x)
    if good.all():
        return x, rows, ()
    lost = tuple(dict.fromkeys(cell.points()[rows[~good]].tolist()))
    if not skip or good.sum() < len(good) / 2:
        way = "" if 2 * good.sum() < len(good) else ", or leave such images out with on_error: skip"
        raise InputError(
            f"{cell.subject.name} gives only zeros at {cell.tap}, which have no direction, for "
            f"{(~good).sum()} of {len(good)} embeddings: those of {name_some(lost)}. Remove these "
            f"images, or look at another layer{way}"
        )
    return x[good], rows[good], lost


def lost_directions(cell: Cell, ids: Iterable[str]) -> list[Failure]:
    """The images that were left out of a cell, as failures of theirs."""
    what = f"left out: {cell.subject.name} gives only zeros at {cell.tap}, without a direction"
    return [
        Failure(images=cell.images.name, where=one, what=what, is_image=True)
        for one in dict.fromkeys(ids)
    ]


def said_of(ids: Sequence[str]) -> list[str]:
    """What a measure says of the images that it left out."""
    return [f"images of only zeros, left out: {name_some(ids)}"] if ids else []
