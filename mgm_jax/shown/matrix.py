"""Values of all pairs as a coloured square, inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from mgm_jax.shown.plot import NOTHING, TEXT

_SIDE = 34


def matrix_svg(names: Sequence[str], values: np.ndarray, *, title: str = "") -> str:
    """A cell a pair, darker where the value is larger, the value written in it.

    Args:
        names: of rows and columns, ``[m]``.
        values: ``[m, m]``; NaN stays empty.
        title: what the values are.

    Example:
        >>> matrix_svg(["a", "b"], np.eye(2)).count("<rect")
        4
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return NOTHING
    low, reach = float(known.min()), float(np.ptp(known)) or 1.0
    left = 8 + 6 * min(max(map(len, names)), 24)
    parts = [f'<text x="0" y="11" {TEXT}>{escape(title)}</text>']
    for row, name in enumerate(names):
        y = 18 + row * _SIDE
        parts.append(
            f'<text x="{left - 4}" y="{y + _SIDE / 2 + 3:.0f}" text-anchor="end" {TEXT}>'
            f"{escape(name[:24])}</text>"
        )
        for column, value in enumerate(values[row]):
            if not np.isfinite(value):
                continue
            x, share = left + column * _SIDE, (value - low) / reach
            ink = "#fff" if share > 0.55 else "#000"
            parts.append(
                f'<rect x="{x}" y="{y}" width="{_SIDE - 1}" height="{_SIDE - 1}" '
                f'fill="hsl(202,100%,{95 - 60 * share:.0f}%)"/><text x="{x + _SIDE / 2 - 0.5:.1f}" '
                f'y="{y + _SIDE / 2 + 3:.0f}" text-anchor="middle" font-size="10" '
                f'font-family="sans-serif" fill="{ink}">{value:.2f}</text>'
            )
    width, height = left + len(names) * _SIDE, 20 + len(names) * _SIDE
    return f'<svg width="{width}" height="{height}" role="img">{"".join(parts)}</svg>'
