"""Curves, and points with intervals, as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

# Okabe and Ito's colours: told apart by everyone, legible on light and dark pages.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
TEXT = 'fill="currentColor" font-size="10" font-family="sans-serif"'
NOTHING = "<span>no value is defined</span>"


def curve_svg(
    x: Sequence[float] | np.ndarray,
    curves: Mapping[str, np.ndarray],
    *,
    across: str,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
    logarithmic: bool = False,
    width: int = 420,
    height: int = 160,
) -> str:
    """Curves over one axis, the first with a band.

    Args:
        x: places ``[n]``, above 0 where ``logarithmic``.
        curves: name to values ``[n]``; NaN leaves a gap.
        across: what x is.
        low: lower end of the band of the first curve, ``[n]``.
        high: its upper end.
        logarithmic: whether x is spaced by its logarithm.
        width: pixels.
        height: pixels.

    Returns:
        SVG markup; a note where no value is defined.

    Example:
        >>> curve_svg([1, 2], {"y": np.array([0.0, 1.0])}, across="x").count("<polyline")
        1
    """
    positions = np.asarray(x, np.float64)
    spaced = np.log(positions) if logarithmic else positions
    drawn = [np.asarray(values, np.float64) for values in curves.values()]
    ends = [*drawn, *(np.asarray(end, np.float64) for end in (low, high) if end is not None)]
    known = np.concatenate(ends) if ends else np.zeros(0)
    known = known[np.isfinite(known)]
    if not known.size:
        return NOTHING
    across_x = _scale(spaced.min(), spaced.max(), 46, width - 8)
    up = _scale(float(known.min()), float(known.max()), height - 30, 10)
    parts = []
    if low is not None and high is not None:
        sound = np.isfinite(low) & np.isfinite(high)
        band = [*zip(spaced[sound], high[sound], strict=True)]
        band += [*zip(spaced[sound][::-1], low[sound][::-1], strict=True)]
        corners = " ".join(f"{across_x(a):.1f},{up(b):.1f}" for a, b in band)
        parts.append(f'<polygon points="{corners}" fill="{COLOURS[0]}" fill-opacity="0.2"/>')
    for index, (name, values) in enumerate(zip(curves, drawn, strict=True)):
        colour = COLOURS[index % len(COLOURS)]
        sound = np.isfinite(values)
        dots = [(across_x(a), up(b)) for a, b in zip(spaced[sound], values[sound], strict=True)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in dots)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2" fill="{colour}"/>' for a, b in dots]
        if len(curves) > 1:
            at = 50 + index * (width - 58) / len(curves)
            parts.append(
                f'<text x="{at:.0f}" y="9" {TEXT} style="fill:{colour}">{escape(name)}</text>'
            )
    for value in dict.fromkeys((float(known.min()), float(known.max()))):
        parts.append(_text(42, up(value) + 3, "end", f"{value:.3g}"))
    for value, anchor in ((positions[0], "start"), (positions[-1], "end")):
        at = across_x(np.log(value) if logarithmic else value)
        parts.append(_text(at, height - 16, anchor, f"{value:.4g}"))
    parts.append(_text(width / 2, height - 3, "middle", across))
    return f'<svg width="{width}" height="{height}" role="img">{"".join(parts)}</svg>'


def intervals_svg(
    names: Sequence[object],
    values: np.ndarray,
    *,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
    width: int = 420,
    most: int = 24,
) -> str:
    """A row a name: its value as a dot, its interval as a line.

    Args:
        names: what the rows are called, ``[n]``.
        values: ``[n]``; NaN has no dot.
        low: lower ends of the intervals, ``[n]``.
        high: their upper ends.
        width: pixels.
        most: rows that are drawn.

    Example:
        >>> intervals_svg(["a", "b"], np.array([1.0, 2.0])).count("<circle")
        2
    """
    values = np.asarray(values, np.float64)[:most]
    low = values if low is None else np.asarray(low, np.float64)[:most]
    high = values if high is None else np.asarray(high, np.float64)[:most]
    known = np.concatenate([values, low, high])
    known = known[np.isfinite(known)]
    if not known.size:
        return NOTHING
    along = _scale(float(known.min()), float(known.max()), width * 0.4, width - 12)
    parts = []
    for row, (name, value, least, largest) in enumerate(
        zip([str(name) for name in names][:most], values, low, high, strict=True)
    ):
        y = 14 * row + 10
        label = name if len(name) <= 26 else name[:25] + "…"
        parts.append(_text(width * 0.37, y + 3, "end", label))
        if np.isfinite(least) and np.isfinite(largest):
            parts.append(
                f'<line x1="{along(least):.1f}" x2="{along(largest):.1f}" y1="{y}" y2="{y}" '
                f'stroke="{COLOURS[0]}"/>'
            )
        if np.isfinite(value):
            parts.append(f'<circle cx="{along(value):.1f}" cy="{y}" r="3" fill="{COLOURS[0]}"/>')
    bottom = 14 * len(values) + 14
    for value, anchor in ((known.min(), "start"), (known.max(), "end")):
        parts.append(_text(along(value), bottom, anchor, f"{value:.3g}"))
    return f'<svg width="{width}" height="{bottom + 4}" role="img">{"".join(parts)}</svg>'


def _text(x: float, y: float, anchor: str, words: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {TEXT}>{escape(words)}</text>'


def _scale(low: float, high: float, start: float, end: float):
    """From values to pixels; the middle where all values are one."""
    if high == low:
        return lambda value: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)
