"""A tree of merges, leaves down the side, inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from mgm_jax.shown.plot import COLOURS, TEXT


def tree_svg(
    names: Sequence[str],
    linkage: np.ndarray,
    order: Sequence[str],
    labels: np.ndarray,
    *,
    cut: float = 0.0,
    width: int = 460,
) -> str:
    """A dendrogram: every merge at its height, names coloured by group, the cut dashed.

    Args:
        names: of the n leaves, as the merges count them.
        linkage: ``[n - 1, 4]`` in SciPy's layout.
        order: the names from top to bottom.
        labels: group of every leaf, ``[n]``, from 1.
        cut: height of the cut; 0 for none.
        width: pixels.

    Example:
        >>> tree_svg("ab", np.array([[0, 1, 2.0, 2]]), "ab", np.array([1, 2])).count("<path")
        1
    """
    n = len(names)
    left = 10 + 6 * min(max(map(len, names)), 30)
    tallest = float(linkage[-1, 2]) if n > 1 else 1.0
    reach = (width - left - 10) / (tallest or 1.0)
    row = {name: index for index, name in enumerate(order)}
    heights, middles = [0.0] * n, [14.0 * row[name] + 9 for name in names]
    parts = []
    for one, other, height, _ in linkage:
        first, second = int(one), int(other)
        x = left + height * reach
        parts.append(
            f'<path d="M{left + heights[first] * reach:.1f},{middles[first]:.1f} H{x:.1f} '
            f'V{middles[second]:.1f} H{left + heights[second] * reach:.1f}" fill="none" '
            'stroke="currentColor"/>'
        )
        heights.append(float(height))
        middles.append((middles[first] + middles[second]) / 2)
    for name, label, y in zip(names, labels, middles, strict=False):
        colour = COLOURS[(int(label) - 1) % len(COLOURS)]
        parts.append(
            f'<text x="{left - 4}" y="{y + 3:.1f}" text-anchor="end" {TEXT} style="fill:{colour}">'
            f"{escape(name[:30])}</text>"
        )
    bottom = 14 * n + 4
    if cut > 0:
        x = left + cut * reach
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{bottom}" stroke="currentColor" '
            'stroke-dasharray="3 3" stroke-opacity="0.6"/>'
        )
    return f'<svg width="{width}" height="{bottom}" role="img">{"".join(parts)}</svg>'
