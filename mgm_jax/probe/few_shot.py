"""Few-shot accuracy: which class mean is nearest, from a handful of images of each class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.points.checks import check_points
from mgm_jax.intervals import check_level
from mgm_jax.probe.labelled import encode_labels
from mgm_jax.shown.result import Result
from mgm_jax.whole_numbers import seeded, whole_number

if TYPE_CHECKING:
    import pandas as pd

# Episodes whose points are gathered at once: memory stays at some MiB.
_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class FewShotResult(Result):
    """Accuracy of nearest class means over many episodes.

    Attributes:
        accuracy: mean over the episodes, 0 to 1.
        low: lower end of the interval of the mean.
        high: its upper end.
        level: what the interval covers.
        way: classes of an episode.
        shot: points of each class that make its mean.
        queries: points of each class that are told apart.
        accuracies: of each episode, ``[e]`` float64.
    """

    accuracy: float
    low: float
    high: float
    level: float
    way: int
    shot: int
    queries: int
    accuracies: np.ndarray

    def to_pandas(self) -> pd.DataFrame:
        """One row an episode: its accuracy."""
        import pandas as pd

        return pd.DataFrame({"accuracy": self.accuracies}).rename_axis("episode")

    def __repr__(self) -> str:
        """Accuracy and interval in one line."""
        return (
            f"FewShotResult({self.way}-way {self.shot}-shot {self.accuracy:.4f}, "
            f"{self.level:.0%} interval {self.low:.4f} to {self.high:.4f}, "
            f"{self.accuracies.size} episodes)"
        )

    def _picture(self) -> str:
        from mgm_jax.shown.histogram import histogram_svg

        return histogram_svg(self.accuracies)


def few_shot_probe(
    x: Any,
    labels: Any,
    *,
    way: int = 5,
    shot: int = 5,
    queries: int = 15,
    episodes: int = 600,
    level: float = 0.95,
    seed: int = 0,
) -> FewShotResult:
    """Accuracy of prototypes on few-shot episodes.

    An episode draws ``way`` classes, and of each ``shot`` and ``queries`` points, none twice. A
    query belongs to the class whose mean over the shots is nearest, by squared Euclidean distance
    on the features as they are. The interval of the mean over e episodes with standard deviation
    s is ``z s / sqrt(e)`` to both sides (z = 1.96 at 95 %).

    Args:
        x: features ``[n, d]``, NumPy or JAX.
        labels: one integer or string a row. Classes of fewer than ``shot + queries`` rows are
            never drawn.
        way: classes of an episode, at least 2.
        shot: points of each class that make its mean.
        queries: points of each class that are told apart.
        episodes: how many are drawn, at least 2.
        level: coverage of the interval, in (0, 1).
        seed: of the draws.

    Returns:
        A ``FewShotResult``.

    Raises:
        InputError: unusable features or labels, fewer than ``way`` classes that are large enough,
            an option out of range.

    Reference:
        J. Snell, K. Swersky, R. Zemel, "Prototypical networks for few-shot learning", NeurIPS
        2017, equations 1 and 2, as used by L. Ericsson, H. Gouk, T. M. Hospedales, "How well do
        self-supervised models transfer?", CVPR 2021, section 4.2.

    Example:
        >>> y = np.arange(60) % 3
        >>> few_shot_probe(10.0 * np.eye(3)[y], y, way=3, shot=2, episodes=10).accuracy
        1.0
    """
    way = whole_number(way, name="way")
    shot, queries = whole_number(shot, name="shot"), whole_number(queries, name="queries")
    episodes = whole_number(episodes, name="episodes")
    if way < 2 or episodes < 2:
        raise InputError(f"way and episodes must be at least 2; got {way} and {episodes}.")
    check_level(level)
    points = np.asarray(check_points(x, name="x"), np.float32)
    groups = encode_labels(labels, len(points), of=x)
    members = [rows for rows in groups.members() if rows.size >= shot + queries]
    if len(members) < way:
        raise InputError(
            f"{way} classes must have {shot + queries} rows or more, {shot} shots and {queries} "
            f"queries; {len(members)} have (sizes: {name_some(groups.sizes)}). Lower way, shot or "
            "queries, or take more images."
        )
    rows = _draw(members, way=way, take=shot + queries, episodes=episodes, seed=seed)
    # Distances do not feel a shift; without the common mean they keep their digits.
    centred = points - points.mean(axis=0, dtype=np.float64).astype(np.float32)
    right = np.asarray(_right(jnp.asarray(centred), jnp.asarray(rows), shot=shot))
    accuracies = right / (way * queries)
    half = NormalDist().inv_cdf((1 + level) / 2) * accuracies.std(ddof=1) / np.sqrt(episodes)
    mean = float(accuracies.mean())
    return FewShotResult(
        accuracy=mean,
        low=max(0.0, float(mean - half)),
        high=min(1.0, float(mean + half)),
        level=level,
        way=way,
        shot=shot,
        queries=queries,
        accuracies=accuracies,
    )


def _draw(
    members: list[np.ndarray], *, way: int, take: int, episodes: int, seed: int
) -> np.ndarray:
    """Rows of every episode, ``[e, way, take]`` int32."""
    rng = seeded(seed)
    rows = np.empty((episodes, way, take), np.int32)
    for episode in range(episodes):
        for position, of_class in enumerate(rng.choice(len(members), way, replace=False)):
            rows[episode, position] = rng.choice(members[of_class], take, replace=False)
    return rows


@partial(jax.jit, static_argnames=("shot",))
def _right(x: jax.Array, rows: jax.Array, *, shot: int) -> jax.Array:
    """Number of right answers of every episode, ``[e]`` int32."""

    def one(rows: jax.Array) -> jax.Array:
        way = rows.shape[0]
        means = x[rows[:, :shot]].mean(axis=1)
        asked = x[rows[:, shot:]].reshape(-1, x.shape[1])
        # |q - m|^2 without |q|^2, which is the same for every mean.
        product = jnp.matmul(asked, means.T, precision=jax.lax.Precision.HIGHEST)
        nearest = jnp.argmin(jnp.sum(means**2, axis=1) - 2 * product, axis=1)
        truth = jnp.repeat(jnp.arange(way), rows.shape[1] - shot)
        return jnp.sum(nearest == truth)

    return jax.lax.map(one, rows, batch_size=_AT_ONCE)
