"""Inline SVG figures for a page, each with a title and a description in words; colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

WIDTH = 360
"""Width in SVG units: readable at full size on a phone, and two side by side on paper."""
ROW, LABEL, NUMBER = 22, 152, 64
Formatter = Callable[[float], str]


class Bar(NamedTuple):
    """One bar from ``start`` with length ``share``, both as shares of the width; ``tone`` is a class of the style sheet."""

    label: str
    start: float
    share: float
    text: str
    tone: str = "bar"


class Point(NamedTuple):
    """One mark of a plot, filled or hollow."""

    x: float
    y: float
    filled: bool
    own: bool


def picture(name: str, title: str, words: str, height: float, drawing: str) -> str:
    """An SVG whose title and description are read by a screen reader."""
    return (
        f'<svg role="img" aria-labelledby="{name}-title {name}-words" viewBox="0 0 {WIDTH} {height:g}" preserveAspectRatio="xMinYMin">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-words">{escape(words)}</desc>{drawing}</svg>'
    )


def text(x: float, y: float, said: str, anchor: str = "start", tone: str = "") -> str:
    """A text element."""
    kind = f' class="{tone}"' if tone else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(said)}</text>'


def bars(name: str, title: str, words: str, rows: Sequence[Bar]) -> str:
    """Horizontal bars, each with its label before it and its number after it."""
    across = WIDTH - LABEL - NUMBER
    drawn = []
    for place, row in enumerate(rows):
        top = place * ROW
        drawn.append(text(0, top + 15, row.label))
        x, width = LABEL + row.start * across, max(row.share * across, 1)
        drawn.append(f'<rect class="{row.tone}" x="{x:.1f}" y="{top + 4}" width="{width:.1f}" height="14"/>')
        drawn.append(text(WIDTH, top + 15, row.text, "end"))
    return picture(name, title, words, len(rows) * ROW, "".join(drawn))


def limit(name: str, title: str, words: str, rows: Sequence[Bar], at: float, label: str) -> str:
    """Consecutive bars, with a vertical line at the share ``at`` that they must not exceed."""
    across = WIDTH - LABEL - NUMBER
    x, height = LABEL + at * across, len(rows) * ROW + 20
    inside = bars(name, title, words, rows)
    drawn = inside.partition("</desc>")[2].removesuffix("</svg>")
    line = f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - 18}"/>'
    return picture(
        name, title, words, height, drawn + line + text(x, height - 4, label, "end" if at > 0.5 else "start")
    )


def plot(name: str, title: str, words: str, points: Sequence[Point], written: tuple[Formatter, Formatter]) -> str:
    """A line plot: logarithmic x, y from zero; the run's own point is ringed, points that do not fit are hollow."""
    left, right, top, bottom = 62.0, WIDTH - 22.0, 14.0, 150.0
    logs = [math.log2(point.x) for point in points]
    low, wide = min(logs), max(max(logs) - min(logs), 1e-9)
    most = nice(max(point.y for point in points))

    def place(point: Point) -> tuple[float, float]:
        return (
            left + (math.log2(point.x) - low) / wide * (right - left),
            bottom - point.y / most * (bottom - top),
        )

    drawn = []
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * (bottom - top)
        drawn.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(text(left - 6, y + 4, written[1](share * most), "end"))
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, points))
    drawn.append(f'<polyline class="line" points="{path}"/>')
    for point in points:
        x, y = place(point)
        if point.own:
            drawn.append(f'<circle class="own" cx="{x:.1f}" cy="{y:.1f}" r="8"/>')
        drawn.append(f'<circle class="{"dot" if point.filled else "hollow"}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
        drawn.append(text(x, bottom + 18, written[0](point.x), "middle"))
    drawn.append(text((left + right) / 2, bottom + 38, "GPUs", "middle"))
    return picture(name, title, words, bottom + 44, "".join(drawn))


def nice(value: float) -> float:
    """The next of 1, 2, 3, 4, 5, 6, 8 or 10 times a power of ten, for an axis limit whose half is round too."""
    scale = 10 ** math.floor(math.log10(value))
    return next(step * scale for step in (1, 2, 3, 4, 5, 6, 8, 10) if value <= step * scale * (1 + 1e-9))
