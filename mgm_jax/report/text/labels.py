"""Short, distinct and harmless text for names that people chose freely."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


def shorten(name: str, *, most: int) -> str:
    """Cut the middle out of a long name, so that its start and end stay readable.

    >>> shorten("protoclr_miniimagenet_1s3q", most=15)
    'protoclr…t_1s3q'
    """
    name = " ".join(name.split())
    if len(name) <= most:
        return name
    head = most * 4 // 7
    return f"{name[:head]}…{name[len(name) - (most - 1 - head) :]}"


def short_labels(names: Iterable[str], *, most: int) -> dict[str, str]:
    """A label of at most ``most`` characters for each name.

    Names that would get one label lose the start they share instead of their middle; labels that
    are equal even then are numbered.

    >>> short_labels(["alpha-beta-0-gamma", "alpha-beta-1-gamma"], most=12)
    {'alpha-beta-0-gamma': 'alp…0-gamma', 'alpha-beta-1-gamma': 'alp…1-gamma'}
    """
    distinct = list(dict.fromkeys(names))
    clashing: dict[str, list[str]] = {}
    for name in distinct:
        clashing.setdefault(shorten(name, most=most), []).append(name)
    labels: dict[str, str] = {}
    taken: set[str] = set()
    for name in distinct:
        alike = clashing[shorten(name, most=most)]
        text = name if len(alike) == 1 else _without_shared_start(name, alike, keep=most // 4)
        label, number = shorten(text, most=most), 2
        while label in taken:
            suffix = f" {number}"
            label = shorten(text, most=most - len(suffix)) + suffix
            number += 1
        taken.add(label)
        labels[name] = label
    return labels


def _without_shared_start(name: str, alike: list[str], *, keep: int) -> str:
    # Of sorted texts, the first and the last differ earliest.
    ordered = sorted(alike)
    pairs = zip(ordered[0], ordered[-1], strict=False)
    shared = next((i for i, (a, b) in enumerate(pairs) if a != b), len(ordered[0]))
    return name if shared <= keep + 1 else f"{name[:keep]}…{name[shared:]}"


def plotly_text(text: str) -> str:
    """Text that Plotly shows letter by letter: its labels understand a little HTML.

    >>> plotly_text("<b>a</b> & b")
    '&lt;b&gt;a&lt;/b&gt; &amp; b'
    """
    return escape(text, quote=False)


def hover_name(name: str, *, width: int = 48, most: int = 192) -> str:
    """A full name in bold for a hover box, broken into lines so that the box stays small."""
    name = shorten(name, most=most)
    lines = [name[start : start + width] for start in range(0, len(name), width)]
    return "<br>".join(f"<b>{plotly_text(line)}</b>" for line in lines)


def number(value: float) -> str:
    """Three significant digits, without an exponent where that stays readable.

    >>> [number(x) for x in (0.12345, 12.345, 1234.5, -0.5, float("nan"))]
    ['0.123', '12.3', '1234', '−0.500', '–']
    """
    if value != value:
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    sign = "−" if value < 0 else ""
    if size >= 1e5 or size < 1e-3:
        return f"{sign}{size:.2e}"
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{sign}{size:.{decimals}f}"


def points_counted(points: int, left_out: int) -> str:
    """How many points a mean is of, and how many had no value.

    >>> points_counted(1200, 0), points_counted(1000, 200)
    ('1,200 points', '1,000 points (200 without a value left out)')
    """
    without = f" ({left_out:,} without a value left out)" if left_out else ""
    return f"{points:,} points{without}"


def interval(mean: float, low: float, high: float) -> str:
    """A mean with its interval in brackets, the interval left out where there is none."""
    if low != low or high != high:
        return number(mean)
    return f"{number(mean)} [{number(low)}, {number(high)}]"
