"""The picture of ``docs/concepts.md``: dimension against scale of a circle with noise.

python -m benchmarks.pictures.dimension_scale
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import mgm_jax as mgm

PAGE = Path(__file__).parents[2] / "docs" / "dimension_scale.png"


def main() -> None:
    rng = np.random.default_rng(0)
    angle = rng.random(1500) * 2 * np.pi
    circle = np.stack([np.cos(angle), np.sin(angle)] + [np.zeros(1500)] * 8, axis=1)
    x = circle + 0.01 * rng.standard_normal(circle.shape)
    result = mgm.intrinsic_dimension(x, estimators=("gride",), scales=[2**p for p in range(8)])
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    cloud, scale = figure.subplots(1, 2, width_ratios=(1, 2))
    cloud.scatter(x[:, 0], x[:, 1], s=1, color="#0072B2")
    cloud.set(aspect="equal", xticks=[], yticks=[], title="two of ten dimensions")
    scale.fill_between(result.radius, result.low, result.high, alpha=0.25, color="#0072B2", lw=0)
    scale.plot(result.radius, result.dimension, "o-", color="#0072B2")
    scale.axhline(1, color="0.6", ls=":")
    scale.set(xscale="log", xlabel="mean distance to the farther neighbour", ylabel="dimension")
    scale.set_xticks([0.05, 0.1, 0.2, 0.5], ["0.05", "0.1", "0.2", "0.5"])
    scale.set_xticks([], minor=True)
    scale.spines[["top", "right"]].set_visible(False)
    figure.savefig(PAGE, dpi=110)


if __name__ == "__main__":
    main()
