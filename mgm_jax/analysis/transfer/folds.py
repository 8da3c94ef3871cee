"""Which models are held out together, and how scores are permuted to match."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One split: models to learn from and models held out.

    Attributes:
        train: rows to learn from, ``[t]``.
        held: rows held out, ``[h]``.
        inner: which of the training rows are held out together when the penalty is chosen, one
            code a row, ``[t]``.
    """

    train: np.ndarray
    held: np.ndarray
    inner: np.ndarray


def hold_out(codes: np.ndarray) -> Iterator[Fold]:
    """Hold out the rows of each code in turn; the inner splits are by the same codes.

    Args:
        codes: one a row, ``[n]``: rows of one code are held out together.
    """
    for code in np.unique(codes):
        held = codes == code
        yield Fold(train=np.flatnonzero(~held), held=np.flatnonzero(held), inner=codes[~held])


def permuted_scores(
    scores: np.ndarray,
    codes: np.ndarray,
    *,
    permutations: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Scores as they could be if they had nothing to do with the features.

    Where every row has a code of its own, rows are permuted. Where rows of a family share a code
    they depend on each other, so they are not exchangeable: the means of the families are
    permuted over the families, and the deviations from the mean within each family. That is exact
    for families of equal size and an approximation for others.

    Args:
        scores: ``[n, c]``, one column a task; all columns are permuted alike.
        codes: family of each row, ``[n]``.
        permutations: number of permutations.
        generator: of the permutations.

    Returns:
        ``[permutations, n, c]``.
    """
    _, codes, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    means = np.stack([scores[codes == code].mean(0) for code in range(len(sizes))])
    deviations = scores - means[codes]
    families = generator.permuted(np.tile(np.arange(len(sizes)), (permutations, 1)), axis=1)
    within = _within_families(codes, permutations, generator)
    return means[families[:, codes]] + deviations[within]


def _within_families(
    codes: np.ndarray, permutations: int, generator: np.random.Generator
) -> np.ndarray:
    """Row numbers ``[permutations, n]``, shuffled among the rows of each code."""
    keys = generator.random((permutations, len(codes)))
    shuffled = np.lexsort((keys, np.broadcast_to(codes, keys.shape)), axis=-1)
    rows = np.empty_like(shuffled)
    rows[:, np.argsort(codes, kind="stable")] = shuffled
    return rows
