"""All transferability scores of one encoder on one labelled image set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.points.checks import check_points
from mgm_jax.geometry.points.frames import refuse_other_order
from mgm_jax.geometry.points.tensors import off_torch
from mgm_jax.probe.knn import knn_accuracy
from mgm_jax.probe.scores.gbc import gbc
from mgm_jax.probe.scores.h_score import h_score
from mgm_jax.probe.scores.leep import leep
from mgm_jax.probe.scores.logme import logme
from mgm_jax.probe.scores.nce import nce
from mgm_jax.probe.scores.transrate import transrate
from mgm_jax.shown.result import Result

if TYPE_CHECKING:
    import pandas as pd

FeatureScore = Literal["logme", "h_score", "gbc", "transrate", "knn_accuracy"]
_FEATURE_SCORES = get_args(FeatureScore)
_NEIGHBOURS = 10


@dataclass(frozen=True, kw_only=True)
class TransferScores(Result):
    """Scores without training; NaN where one was not asked for. Higher is better in each.

    Attributes:
        logme: log evidence a sample, unbounded.
        h_score: from 0 to the number of classes less one.
        gbc: overlap of the classes, from ``-c (c - 1)`` to 0.
        transrate: nats that the labels save, of features of unit mean square length.
        knn_accuracy: leave-one-out accuracy of 10 neighbours, 0 to 1.
        leep: of the source's probabilities, at most 0.
        nce: of the source's answers, at most 0.
    """

    logme: float = np.nan
    h_score: float = np.nan
    gbc: float = np.nan
    transrate: float = np.nan
    knn_accuracy: float = np.nan
    leep: float = np.nan
    nce: float = np.nan

    def to_dict(self) -> dict[str, float]:
        """The scores that were computed, by name."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in values.items() if not np.isnan(value)}

    def to_pandas(self) -> pd.Series:
        """The scores that were computed, by name."""
        import pandas as pd

        return pd.Series(self.to_dict(), name="score", dtype=float)

    def __repr__(self) -> str:
        """The scores in one line."""
        shown = ", ".join(f"{name} {value:.4g}" for name, value in self.to_dict().items())
        return f"TransferScores({shown})"

    def _picture(self) -> str:
        from mgm_jax.shown.plot import intervals_svg

        known = self.to_dict()
        return intervals_svg(list(known), np.array(list(known.values())))


def transfer_scores(
    x: Any,
    labels: Any,
    *,
    scores: Sequence[FeatureScore] = _FEATURE_SCORES,
    source_probabilities: Any = None,
) -> TransferScores:
    """How well features would serve labels, by scores that need no training.

    Labels may be any integers or strings; only which rows share one matters. Constant columns
    carry no information and are left out.

    Args:
        x: features ``[n, d]``, NumPy or JAX, as they come from the encoder.
        labels: one integer or string a row; at least two rows a class.
        scores: which of the scores of features.
        source_probabilities: of the source classes for every image, ``[n, z]``, for LEEP and NCE
            (whose source label is the likeliest class); None leaves these two out.

    Returns:
        A ``TransferScores``.

    Raises:
        InputError: unusable features, labels or probabilities, an unknown score.

    Example:
        >>> y = np.arange(40) % 2
        >>> x = np.random.default_rng(0).normal(size=(40, 3)) + 3 * y[:, None]
        >>> transfer_scores(x, y).logme > transfer_scores(x, np.sort(y)).logme
        True
    """
    unknown = [name for name in scores if name not in _FEATURE_SCORES]
    if unknown:
        raise InputError(
            f"scores must be among {name_some(_FEATURE_SCORES)}; got {name_some(unknown)}."
        )
    refuse_other_order(x, labels, names=("x", "labels"))
    points = np.asarray(check_points(x, name="x"), np.float32)
    computed = {name: _COMPUTE[name](points, labels) for name in scores}
    if source_probabilities is not None:
        chances = np.asarray(off_torch(source_probabilities))
        computed["leep"] = leep(chances, labels)
        computed["nce"] = nce(chances.argmax(axis=1), labels)
    return TransferScores(**computed)


def _transrate(x: np.ndarray, labels: Any) -> float:
    """TransRate at one scale, which it depends on and encoders do not share."""
    # About the mean, or rounding to float32 once more would cost what an offset leaves of it.
    centred = x - x.mean(axis=0, dtype=np.float64)
    length = np.sqrt((centred**2).sum(axis=1).mean())
    return transrate(centred / length if length > 0 else x, labels)


def _knn_accuracy(x: np.ndarray, labels: Any) -> float:
    k = min(_NEIGHBOURS, len(x) - 1)
    # On the sphere where every row has a direction; a collapsed row has distances all the same.
    metric = "cosine" if np.abs(x).max(axis=1).min(initial=1) > 0 else "euclidean"
    return knn_accuracy(x, labels, k=k, metric=metric).accuracy


_COMPUTE: dict[str, Callable[[np.ndarray, Any], float]] = {
    "logme": logme,
    "h_score": h_score,
    "gbc": gbc,
    "transrate": _transrate,
    "knn_accuracy": _knn_accuracy,
}
