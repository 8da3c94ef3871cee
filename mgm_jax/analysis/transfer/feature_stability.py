"""Would other models have chosen the same features?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mgm_jax.analysis.transfer.held_out import Effort, Regression, among, measured_scale
from mgm_jax.analysis.transfer.ridge import Ridge

# Share of the models in a subsample, and subsamples a bootstrap resample.
_SHARE = 0.8
_FEWER = 10


def feature_stability(
    features: np.ndarray,
    columns: tuple[str, ...],
    scores: pd.DataFrame,
    regression: Regression,
    ranks: bool,
    effort: Effort,
) -> pd.DataFrame:
    """Coefficients of all models, and how often subsamples of the models agree with them.

    A subsample holds four fifths of the models, drawn without replacement (a copy of a model
    would be its own neighbour when the penalty is chosen). Ridge never leaves a feature out: it
    chooses those whose coefficient is larger than the average of its coefficients in size. Lasso
    and elastic net choose those whose coefficient is not 0.

    Returns:
        One row a task and feature: ``task, feature, coefficient, selected, sign``, as
        :class:`~mgm_jax.analysis.transfer.result.TransferPrediction` describes them.

    Reference: Meinshausen and Buehlmann, "Stability selection", 2010.
    """
    parts = []
    for task in scores.columns:
        known = np.flatnonzero(scores[task].notna())
        x, y = features[known], scores[task].to_numpy(np.float64)[known, None]
        if ranks:
            x, y = among(x[None], x[None], own=True)[0], measured_scale(y, ranks=True)
        y = (y - y.mean()) / y.std()
        full = regression.coefficients(x[None], y, inner=np.arange(len(x)))[0, :, 0]
        generator = np.random.default_rng([effort.seed, 4])
        count, size = max(1, effort.resamples // _FEWER), max(4, round(_SHARE * len(x)))
        drawn = generator.permuted(np.tile(np.arange(len(x)), (count, 1)), axis=1)[:, :size]
        again = regression.coefficients(x[drawn], y[drawn], inner=np.arange(size))[:, :, 0]
        sizes = np.abs(again)
        least = sizes.mean(1, keepdims=True) if isinstance(regression, Ridge) else 0.0
        parts.append(
            pd.DataFrame(
                {
                    "task": task,
                    "feature": columns,
                    "coefficient": full,
                    "selected": (sizes > least).mean(0) if len(columns) > 1 else 1.0,
                    "sign": ((np.sign(again) == np.sign(full)) & (full != 0)).mean(0),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
