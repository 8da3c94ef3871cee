"""Small histograms for notebooks: inline SVG, so that a figure needs no plotting library."""

from __future__ import annotations

import numpy as np

# Okabe and Ito's blue: told apart by everyone, legible on light and dark pages.
_COLOUR = "#0072B2"
_BINS = 30


def histogram_svg(values: np.ndarray, *, width: int = 220, height: int = 44) -> str:
    """Draw the distribution of a column as inline SVG, its range and median written below.

    Args:
        values: numbers ``[n]``; NaN is left out.
        width: of the drawing, pixels.
        height: of the bars, pixels.

    Returns:
        SVG markup; a note instead of bars where no value is defined.

    Example:
        >>> histogram_svg(np.array([1.0, 2.0, 2.0])).startswith("<svg")
        True
    """
    defined = np.asarray(values, np.float64)
    defined = defined[np.isfinite(defined)]
    if not defined.size:
        return "<span>no value is defined</span>"
    low, high = float(defined.min()), float(defined.max())
    # Whole numbers get bins of whole width, or bars would alternate for no reason in the data.
    whole = bool((defined == np.round(defined)).all()) and high - low < _BINS
    edges = np.arange(low - 0.5, high + 1) if whole else np.linspace(low, high or 1.0, _BINS + 1)
    if not whole and low == high:
        edges = np.array([low - 0.5, low + 0.5])
    counts, _ = np.histogram(defined, bins=edges)
    step = width / counts.size
    bars = "".join(
        f'<rect x="{index * step:.1f}" y="{height - share * height:.1f}" '
        f'width="{max(step - 1, 0.5):.1f}" height="{share * height:.1f}"/>'
        for index, share in enumerate(counts / counts.max())
    )
    median = float(np.median(defined))
    labels = "".join(
        f'<text x="{x}" y="{height + 13}" text-anchor="{anchor}">{text}</text>'
        for x, anchor, text in (
            (0, "start", f"{low:.3g}"),
            (width / 2, "middle", f"median {median:.3g}"),
            (width, "end", f"{high:.3g}"),
        )
    )
    return (
        f'<svg width="{width}" height="{height + 18}" role="img" '
        f'aria-label="from {low:.3g} to {high:.3g}, median {median:.3g}">'
        f'<g fill="{_COLOUR}">{bars}</g>'
        f'<g fill="currentColor" font-size="10" font-family="sans-serif">{labels}</g></svg>'
    )
