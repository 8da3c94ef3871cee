"""What every probe with a path of penalties returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mgm_jax.errors import note_old_name
from mgm_jax.probe.linear_answers import linear_answers
from mgm_jax.probe.scoring import ScoreName
from mgm_jax.shown.result import Result

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class PathResult(Result):
    """A linear model: its score on test, and the path it was chosen from.

    Attributes:
        score: on test, of the model that was fitted last, at most 1.
        low: lower end of the bootstrap interval over test images.
        high: its upper end.
        level: what the interval covers.
        measure: ``"top1"``, ``"mean_per_class"``, ``"map11"``, ``"map"`` or ``"r2"``.
        l2_penalty: the chosen one.
        l2_penalties: all of them, ``[s]``, ascending.
        validation: score of each on validation, ``[s]``.
        weights: ``[d, c]``.
        intercepts: ``[c]``.
        classes: the labels, ``[c]``.
    """

    score: float
    low: float
    high: float
    level: float
    measure: ScoreName
    l2_penalty: float
    l2_penalties: np.ndarray
    validation: np.ndarray
    weights: np.ndarray
    intercepts: np.ndarray
    classes: np.ndarray

    @property
    def strength(self) -> float:
        """The old name of ``l2_penalty``."""
        note_old_name("strength", "l2_penalty")
        return self.l2_penalty

    @property
    def strengths(self) -> np.ndarray:
        """The old name of ``l2_penalties``."""
        note_old_name("strengths", "l2_penalties")
        return self.l2_penalties

    def logits(self, x: Any) -> np.ndarray:
        """Scores of every class, ``x W + b``, ``[n, c]`` in the type of the weights.

        Args:
            x: features ``[n, d]``, an array or what is read by rows.
        """
        return linear_answers(x, self.weights, self.intercepts)

    def to_pandas(self) -> pd.DataFrame:
        """One row a penalty."""
        import pandas as pd

        return pd.DataFrame(self._path())

    def _path(self) -> dict[str, np.ndarray]:
        """Columns of the path."""
        return {"l2_penalty": self.l2_penalties, "validation": self.validation}

    def _remark(self) -> str:
        """What the one line says at its end."""
        return ""

    def __repr__(self) -> str:
        """Score, interval and penalty in one line."""
        return (
            f"{type(self).__name__}({self.measure} {self.score:.4f}, {self.level:.0%} interval "
            f"{self.low:.4f} to {self.high:.4f}, L2 penalty {self.l2_penalty:.3g}{self._remark()})"
        )

    def _picture(self) -> str:
        from mgm_jax.shown.plot import curve_svg

        return curve_svg(
            self.l2_penalties,
            {f"{self.measure} on validation": self.validation},
            across=f"L2 penalty; {self.l2_penalty:.3g} was chosen",
            logarithmic=True,
        )

    def _shown_table(self) -> pd.DataFrame:
        import pandas as pd

        # The best ten: the path is in the picture.
        path = pd.DataFrame(self._path())
        return path.sort_values("validation", ascending=False, kind="stable").head(10)
