"""Histograms as inline SVG, in the colours of the page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from dominate import svg, tags

from trackers.page_text import readable

WIDTH, HEIGHT = 320, 150
LEFT, RIGHT, TOP, BOTTOM = 30, 10, 10, 24
BINS = 20


def histogram(title: str, unit: str, values: Sequence[float], of: str, span: tuple[float, float] | None) -> tags.figure:
    """How many of the values lie where; the mean is marked. span: ends of the axis, else those of the values."""
    low, high = span or _round(min(values), max(values))
    counts, edges = np.histogram(np.clip(values, low, high), BINS, (low, high))
    most = max(int(counts.max()), 1)
    drawing = svg.svg(viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img")
    drawing.add(svg.title(f"{title}: {len(values)} {of}"))
    base, room = HEIGHT - BOTTOM, WIDTH - LEFT - RIGHT
    for share in (0.5, 1.0):
        y = base - share * (base - TOP)
        drawing.add(svg.line(x1=LEFT, x2=WIDTH - RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}", cls="grid"))
        if most * share == int(most * share):
            drawing.add(_text(f"{most * share:.0f}", LEFT - 5, y + 4, "end"))
    drawing.add(svg.line(x1=LEFT, x2=WIDTH - RIGHT, y1=base, y2=base, cls="grid"))
    for count, edge in zip(counts.tolist(), edges.tolist(), strict=False):
        if count:
            x, height = LEFT + (edge - low) / (high - low) * room, count / most * (base - TOP)
            bar = svg.rect(
                x=f"{x + 0.6:.1f}", y=f"{base - height:.1f}", width=f"{room / BINS - 1.2:.1f}", height=f"{height:.1f}"
            )
            bar["class"] = "bar"
            bar.add(svg.title(f"{count} {of} from {edge:.4g} to {edge + (high - low) / BINS:.4g}"))
            drawing.add(bar)
    mean = float(np.mean(values))
    x = LEFT + (min(max(mean, low), high) - low) / (high - low) * room
    drawing.add(svg.line(x1=f"{x:.1f}", x2=f"{x:.1f}", y1=TOP - 4, y2=base, cls="mean"))
    for value, anchor in ((low, "start"), ((low + high) / 2, "middle"), (high, "end")):
        drawing.add(_text(f"{value:.3g}", LEFT + (value - low) / (high - low) * room, HEIGHT - 7, anchor))
    about = tags.small(f"{readable(unit)}; {len(values)} {of}, mean {mean:.4g}")
    return tags.figure(tags.h3(readable(title), " ", about), drawing, cls="card chart")


def _round(low: float, high: float) -> tuple[float, float]:
    """Ends of an axis with room for the values, never the same."""
    if high - low < 1e-9:
        return (low - 0.5, high + 0.5) if abs(high) >= 1 else (min(low, 0.0), max(high, low + 0.01))
    step = 10.0 ** np.floor(np.log10(high - low))
    return float(np.floor(low / step) * step), float(np.ceil(high / step) * step)


def _text(words: str, x: float, y: float, anchor: str) -> svg.text:
    return svg.text(words, x=f"{x:.1f}", y=f"{y:.1f}", **{"text-anchor": anchor})
