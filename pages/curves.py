"""Points of a curve -> fewer or smoother ones."""

from __future__ import annotations

import math

Point = tuple[int, float]
"""A step and a value; the value may be not-a-number, which leaves a gap in a curve."""


def smoothed(points: list[Point], span: float) -> list[Point]:
    """The exponential moving average over about ``span`` points, unbiased at the start; gaps are passed over."""
    keep = 1 - 1 / max(1.0, span)
    total = weight = 0.0
    curve = []
    for step, value in points:
        if math.isfinite(value):
            total, weight = keep * total + value, keep * weight + 1
        curve.append((step, total / weight if weight else math.nan))
    return curve


def thinned(points: list[Point], count: int) -> list[Point]:
    """At most ``count`` points with the same first and last step: the extremes of each stretch, so that peaks stay."""
    if len(points) <= count:
        return points
    stretches = max(1, (count - 2) // 2)
    inner, kept = points[1:-1], [points[0]]
    for number in range(stretches):
        stretch = inner[number * len(inner) // stretches : (number + 1) * len(inner) // stretches]
        finite = [point for point in stretch if math.isfinite(point[1])]
        if finite:
            ends = {min(finite, key=lambda point: point[1]), max(finite, key=lambda point: point[1])}
            kept += sorted(ends)
        elif stretch:
            kept.append(stretch[0])
    return [*kept, points[-1]]
