"""k-NN accuracy: do the nearest neighbours of a point carry its label?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.geometry.knn.distance import Metric
from mgm_jax.geometry.knn.graph import KnnGraph, knn_graph
from mgm_jax.geometry.points.checks import check_points
from mgm_jax.geometry.points.frames import refuse_other_columns
from mgm_jax.intervals import check_level
from mgm_jax.probe.labelled import check_pair, codes_among, encode_labels, refuse_one_class
from mgm_jax.shown.result import Result
from mgm_jax.whole_numbers import whole_number

if TYPE_CHECKING:
    import pandas as pd

_VOTES_AT_ONCE = 2**24


@dataclass(frozen=True, kw_only=True)
class KnnAccuracy(Result):
    """Accuracy of the vote of the nearest neighbours.

    Attributes:
        accuracy: share of points whose vote is right, 0 to 1.
        low: lower end of the Wilson interval, which takes the points as independent.
        high: its upper end.
        level: what the interval covers, such as 0.95.
        classes: the labels, sorted, ``[c]``.
        per_class: accuracy in each class, ``[c]`` float64; NaN where no point was classified.
        correct: whether the vote is right for a point, ``[n]`` bool.
        k: number of neighbours that vote.
    """

    accuracy: float
    low: float
    high: float
    level: float
    classes: np.ndarray
    per_class: np.ndarray
    correct: np.ndarray
    k: int

    def to_pandas(self) -> pd.DataFrame:
        """One row a class: its accuracy."""
        import pandas as pd

        return pd.DataFrame(
            {"accuracy": self.per_class}, index=pd.Index(self.classes, name="class")
        )

    def __repr__(self) -> str:
        """Accuracy and interval in one line."""
        return (
            f"KnnAccuracy({self.accuracy:.4f}, {self.level:.0%} interval "
            f"{self.low:.4f} to {self.high:.4f}, k={self.k}, "
            f"{self.correct.size} points, {self.classes.size} classes)"
        )

    def _picture(self) -> str:
        from mgm_jax.shown.plot import intervals_svg

        return intervals_svg(self.classes.tolist(), self.per_class)


def knn_accuracy(
    x: Any,
    labels: Any,
    *,
    k: int = 10,
    metric: Metric = "cosine",
    level: float = 0.95,
    graph: KnnGraph | None = None,
) -> KnnAccuracy:
    """Leave-one-out k-NN accuracy on the exact graph.

    Every point gets the label that most of its k neighbours have; of labels with equally many
    votes, the one of the nearest neighbour among them. The interval is Wilson's (1927), of a
    share of n independent trials.

    Args:
        x: points ``[n, d]``, NumPy or JAX.
        labels: one integer or string a point.
        k: number of neighbours that vote.
        metric: ``"cosine"``, ``"sqeuclidean"`` or ``"euclidean"``.
        level: coverage of the interval, in (0, 1).
        graph: neighbours found before, with at least k a point; None to find them.

    Returns:
        A ``KnnAccuracy``.

    Raises:
        InputError: unusable points or labels, k too large, a level outside (0, 1), or a graph
            that does not fit.

    Example:
        >>> x = np.array([[0.0], [0.1], [5.0], [5.1]])
        >>> knn_accuracy(x, ["a", "a", "b", "b"], k=1, metric="euclidean").accuracy
        1.0
    """
    check_level(level)
    k = whole_number(k, name="k")
    if graph is None:
        graph = knn_graph(x, k=k, metric=metric)
    else:
        n = len(x) if hasattr(x, "__len__") else 0
        if graph.n != n or graph.k < k:
            raise InputError(
                f"graph must hold at least {k} neighbours of {n} points; "
                f"got {graph.k} of {graph.n}. Leave it out to compute a new one."
            )
    classes = encode_labels(labels, graph.n, of=x)
    voted = majority(classes.codes[graph.indices[:, :k]])
    return _accuracy(voted, classes.codes, classes.values, k=k, level=level)


def knn_probe(
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    *,
    k: int = 10,
    metric: Metric = "cosine",
    level: float = 0.95,
) -> KnnAccuracy:
    """k-NN classifier: test points get the label that most of their k nearest train points have.

    Neighbours are exact; of labels with equally many votes, the one of the nearest neighbour
    among them wins. The interval is Wilson's (1927).

    Args:
        train: points ``[n, d]`` and one integer or string a point; at least two classes.
        test: likewise.
        k: number of neighbours that vote, at most n.
        metric: ``"cosine"``, ``"sqeuclidean"`` or ``"euclidean"``.
        level: coverage of the interval, in (0, 1).

    Returns:
        A ``KnnAccuracy`` of the test points.

    Raises:
        InputError: unusable points or labels, labels of test that train lacks, k too large, a
            level outside (0, 1).

    Example:
        >>> train = [[0.0], [0.1], [5.0], [5.1]], ["a", "a", "b", "b"]
        >>> knn_probe(train, ([[0.2], [4.0]], ["a", "b"]), k=1, metric="euclidean").accuracy
        1.0
    """
    check_level(level)
    k = whole_number(k, name="k")
    cosine = metric == "cosine"
    (base, labels), (x, asked) = check_pair(train, "train"), check_pair(test, "test")
    refuse_other_columns(base, x, names=("features of train", "features of test"))
    base = check_points(base, name="features of train", cosine=cosine, least=1)
    x = check_points(x, name="features of test", cosine=cosine, least=1)
    known = encode_labels(labels, len(base), name="labels of train")
    refuse_one_class(known, name="labels of train")
    truth = codes_among(
        encode_labels(asked, len(x), name="labels of test"), known.values, name="test"
    )
    graph = knn_graph(x, base=base, k=k, metric=metric)
    voted = majority(known.codes[graph.indices])
    return _accuracy(voted, truth, known.values, k=k, level=level)


def _accuracy(
    voted: np.ndarray, truth: np.ndarray, classes: np.ndarray, *, k: int, level: float
) -> KnnAccuracy:
    correct = voted == truth
    low, high = wilson_interval(int(correct.sum()), correct.size, level=level)
    sizes = np.bincount(truth, minlength=classes.size)
    hits = np.bincount(truth, weights=correct, minlength=classes.size)
    return KnnAccuracy(
        accuracy=float(correct.mean()),
        low=low,
        high=high,
        level=level,
        classes=classes,
        per_class=np.divide(hits, sizes, out=np.full(classes.size, np.nan), where=sizes > 0),
        correct=correct,
        k=k,
    )


def majority(votes: np.ndarray) -> np.ndarray:
    """The most frequent vote of every row; of equally frequent ones, the first in the row.

    Args:
        votes: ``[n, k]`` integers, nearest neighbour first.

    Returns:
        Winners ``[n]``.

    Example:
        >>> majority(np.array([[1, 2, 2, 1], [3, 1, 1, 2]])).tolist()
        [1, 1]
    """
    n, k = votes.shape
    winners = np.empty(n, votes.dtype)
    step = max(1, _VOTES_AT_ONCE // (k * k))
    for start in range(0, n, step):
        part = votes[start : start + step]
        # Counting the equals of each vote needs no table of classes, however many there are.
        counts = np.sum(part[:, :, None] == part[:, None, :], axis=2)
        first = np.argmax(counts, axis=1)
        winners[start : start + step] = part[np.arange(len(part)), first]
    return winners


def wilson_interval(successes: int, trials: int, *, level: float) -> tuple[float, float]:
    """Interval for the share of successes in independent trials (Wilson 1927).

    With z the normal quantile of the level, the shares p with
    ``|successes / trials - p| <= z sqrt(p (1 - p) / trials)``.

    Example:
        >>> tuple(round(end, 3) for end in wilson_interval(5, 10, level=0.95))
        (0.237, 0.763)
    """
    from statistics import NormalDist

    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / trials
    centre = share + z * z / (2 * trials)
    half = z * ((share * (1 - share) + z * z / (4 * trials)) / trials) ** 0.5
    scale = 1 + z * z / trials
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
