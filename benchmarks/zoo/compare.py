"""Whether newly trained weights are better than the shipped ones, by a rule set beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mgm_jax.intervals import bootstrap_interval
from mgm_jax.probe.knn import KnnAccuracy

_RESAMPLES = 2000


def difference(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the difference of two shares of right answers to one test."""
    gaps = first.astype(np.float64) - second
    return bootstrap_interval(gaps, resamples=_RESAMPLES, seed=0, level=0.95)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """k-NN accuracy of two encoders on the same images, set by set.

    Attributes:
        name: method and backbone of both.
        new: of what was trained, by image set.
        shipped: of what the package has, by image set.
    """

    name: str
    new: Mapping[str, KnnAccuracy]
    shipped: Mapping[str, KnnAccuracy]

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % interval of new less shipped on each set, by resampling its images."""
        return {
            one: difference(self.new[one].correct, self.shipped[one].correct) for one in self.new
        }

    @property
    def is_better(self) -> bool:
        """Better beyond the interval on a set at least, and worse beyond it on none."""
        ends = self.intervals.values()
        return any(low > 0 for low, _ in ends) and not any(high < 0 for _, high in ends)

    def row(self) -> str:
        """Of a Markdown table: name, then shipped, new and their difference on each set."""
        cells = []
        for one, (low, high) in self.intervals.items():
            new, shipped = self.new[one].accuracy, self.shipped[one].accuracy
            cells += [
                f"{shipped:.3f}",
                f"{new:.3f}",
                f"{new - shipped:+.3f} ({low:+.3f} to {high:+.3f})",
            ]
        return f"| {self.name} | {' | '.join(cells)} | {'yes' if self.is_better else 'no'} |"


def comparison_table(compared: list[Comparison]) -> str:
    """A Markdown table of what was compared on the same image sets, one or more."""
    sets = list(compared[0].new)
    heads = " | ".join(f"{one}: shipped | new | difference" for one in sets)
    return "\n".join(
        [
            f"| encoder | {heads} | better |",
            "|---" * (2 + 3 * len(sets)) + "|",
            *(one.row() for one in compared),
        ]
    )
