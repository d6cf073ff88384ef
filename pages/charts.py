"""Charts as inline SVG, axes labelled, colours from the page's style: curves, and histograms."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dominate import svg, tags

from pages.curves import Point, smoothed, thinned
from pages.text import number, readable

WIDTH, HEIGHT = 400, 210
LEFT, RIGHT, TOP, BOTTOM = 44, 20, 8, 34
"""Room around the curves for the labels of the axes, on the right for half of the last one; in units of the drawing."""

COLOURS, BARS = 6, 20
POINTS = 400
"""At most this many points per curve: no screen shows more, and the page stays small however long the run."""


Curve = tuple[list[Point], list[Point]]
"""Raw and smoothed points of one series."""


@dataclass(frozen=True)
class _Field:
    """Where steps and values lie in the drawing."""

    low_x: float
    high_x: float
    low_y: float
    high_y: float

    def across(self, step: float) -> float:
        return LEFT + (step - self.low_x) / (self.high_x - self.low_x) * (WIDTH - LEFT - RIGHT)

    def up(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.low_y) / (self.high_y - self.low_y) * (HEIGHT - TOP - BOTTOM)


def line_chart(title: str, series: Mapping[str, list[Point]], x_label: str, y_label: str) -> tags.figure:
    """One chart of several series of (step, value), with a legend that also tells each newest smoothed value."""
    curves = {name: (points, smoothed(points, len(points) / 20)) for name, points in series.items()}
    low_x, high_x = _span([step for points, _ in curves.values() for step, _ in points])
    ticks = _ticks(*_value_range(curves.values()))
    field = _Field(low_x, high_x, ticks[0], ticks[-1])
    along = {step: _short(step) for step in _whole_ticks(low_x, high_x)}
    drawing = _axes(f"{title} by {x_label}", field, along, ticks, x_label, y_label)
    drawing.add(_lines(list(curves.values()), field))
    return tags.figure(tags.h3(title), _legend(curves), drawing, cls="card chart")


def histogram(
    title: str, unit: str, values: Sequence[float], of: str, span: tuple[float, float] | None = None
) -> tags.figure:
    """How many of the values lie where; the mean is marked. span: ends of the axis, else those of the values."""
    low, high = span or (_ticks(*_span(values))[0], _ticks(*_span(values))[-1])
    held = [min(max(value, low), high) for value in values]
    counts = Counter(min(int((value - low) / (high - low) * BARS), BARS - 1) for value in held)
    upwards = [tick for tick in _ticks(0, max(counts.values())) if tick == round(tick)]
    field = _Field(low, high, 0, upwards[-1])
    drawing = _axes(title, field, {tick: f"{tick:.3g}" for tick in (low, (low + high) / 2, high)}, upwards, unit, of)
    width, base = (high - low) / BARS, HEIGHT - BOTTOM
    for bar, count in sorted(counts.items()):
        left, top = low + bar * width, field.up(count)
        place = {"x": field.across(left) + 0.6, "y": top, "width": field.across(low + width) - LEFT - 1.2}
        words = svg.title(f"{count} {of} from {left:.4g} to {left + width:.4g}")
        size = {name: f"{value:.1f}" for name, value in (place | {"height": base - top}).items()}
        drawing.add(svg.rect(words, cls="bar", **size))
    mean = statistics.mean(values)
    x = f"{field.across(min(max(mean, low), high)):.1f}"
    drawing.add(svg.line(x1=x, x2=x, y1=TOP - 4, y2=base, cls="mean"))
    about = tags.small(f"{len(values)} {of}, mean {mean:.4g}")
    return tags.figure(tags.h3(readable(title), " ", about), drawing, cls="card chart")


def _axes(
    title: str, field: _Field, along: Mapping[float, str], upwards: Sequence[float], x_label: str, y_label: str
) -> svg.svg:
    """An empty drawing with labels: along the x axis those given by place, upwards the values with their lines."""
    drawing = svg.svg(viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img")
    drawing.add(svg.title(title))
    for tick in upwards:
        y = field.up(tick)
        drawing.add(svg.line(x1=LEFT, x2=WIDTH - RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}", cls="grid"))
        drawing.add(_text(f"{tick:.4g}", LEFT - 6, y + 4, "end"))
    for place, words in along.items():
        drawing.add(_text(words, field.across(place), HEIGHT - BOTTOM + 15, "middle"))
    drawing.add(_text(x_label, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, "middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    drawing.add(_text(y_label, 10, middle, "middle", transform=f"rotate(-90 10 {middle:.0f})"))
    return drawing


def _legend(curves: Mapping[str, Curve]) -> tags.ul:
    entries = tags.ul(cls="legend")
    for index, (name, (_, smooth)) in enumerate(curves.items()):
        newest = smooth[-1][1] if smooth else math.nan
        entries.add(tags.li(readable(name), " ", tags.b(number(newest)), style=f"--colour: var(--c{index % COLOURS})"))
    return entries


def _lines(curves: Sequence[Curve], field: _Field) -> svg.svg:
    """All raw lines and the smoothed ones over them, cut where they leave the field."""
    left, top, width, height = LEFT, TOP - 2, WIDTH - LEFT - RIGHT + 2, HEIGHT - TOP - BOTTOM + 4
    window = svg.svg(x=left, y=top, width=width, height=height, viewBox=f"{left} {top} {width} {height}")
    for kind, look in enumerate(("raw", "smooth")):
        for index, curve in enumerate(curves):
            points = [(field.across(step), field.up(value)) for step, value in thinned(curve[kind], POINTS)]
            window.add(svg.path(d=_path(points), cls=look, style=f"stroke: var(--c{index % COLOURS})"))
    return window


def _text(words: str, x: float, y: float, anchor: str, **more: str) -> svg.text:
    return svg.text(readable(words), x=f"{x:.1f}", y=f"{y:.1f}", **{"text-anchor": anchor}, **more)


def _path(points: list[tuple[float, float]]) -> str:
    """Points of the drawing as a path; one that is not finite ends a line, the next begins another."""
    words, pen_down = [], False
    for x, y in points:
        if math.isfinite(y):
            words.append(f"{'L' if pen_down else 'M'}{x:.1f} {min(max(y, -9999), 9999):.1f}")
        pen_down = math.isfinite(y)
    return " ".join(words)


def _value_range(curves: Iterable[Curve]) -> tuple[float, float]:
    """The range to show: all smoothed values and all raw ones but the outermost hundredths."""
    values: list[float] = []
    for raw, smooth in curves:
        finite = sorted(value for _, value in raw if math.isfinite(value))
        if finite:
            margin = len(finite) // 100
            values += [finite[margin], finite[-1 - margin]]
        values += [value for _, value in smooth[len(smooth) // 50 :] if math.isfinite(value)]
    return _span(values)


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest value, never the same."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    return (low, high) if high > low else (low - (abs(low) / 2 or 0.5), high + (abs(high) / 2 or 0.5))


def _ticks(low: float, high: float) -> list[float]:
    """Four to seven round values that enclose low ... high, evenly spaced."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def _whole_ticks(low: float, high: float) -> list[int]:
    """Round whole numbers within low ... high."""
    return [round(tick) for tick in _ticks(low, high) if low <= tick <= high and tick == round(tick)]


def _short(step: int) -> str:
    """12,000 as 12k."""
    return f"{step / 1000:g}k" if abs(step) >= 10000 else f"{step:,}"
