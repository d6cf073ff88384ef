"""The losses of a run so far, kept in bounded memory: what curves are drawn from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from engine.schedule import Progress
from trackers import Losses
from trackers.loss_log import FACTS, PLACE, VALIDATION

MOST = 4000
"""Points kept per loss; beyond it, two neighbours become one. 4000 points are more than a screen has columns."""

Point = tuple[int, float]
"""A step and a value; the value may be not-a-number, which leaves a gap in a curve."""


class LossHistory:
    """Every loss as a series of points (step, value), oldest first.

    Starts from the lines of a loss log, so that a resumed run continues its curves. Facts share those lines: those of
    train.py are known, others are left out from the first ``add`` on that names them.
    """

    def __init__(self, lines: Iterable[Mapping[str, Any]] = ()) -> None:
        self._series: dict[str, list[Point]] = {}
        self._facts: set[str] = {*PLACE, *FACTS}
        for line in lines:
            values = {name: value for name, value in line.items() if value is None or isinstance(value, (int, float))}
            self._append(line["step"], {name: _number(value) for name, value in values.items()})

    def add(self, progress: Progress, losses: Losses, facts: Losses) -> None:
        self._facts.update(name for name in facts if name not in losses)
        self._append(progress.steps, losses)

    def series(self) -> dict[str, list[Point]]:
        """Name of each loss -> its points, in the order in which the losses were first seen."""
        return {name: points for name, points in self._series.items() if name not in self._facts}

    def of_validation(self) -> dict[str, list[Point]]:
        """The figures of validation pictures, which ``series`` has as well."""
        return {name: points for name, points in self.series().items() if name.startswith(VALIDATION)}

    def of_training(self) -> dict[str, list[Point]]:
        """``series`` without them: the losses."""
        return {name: points for name, points in self.series().items() if not name.startswith(VALIDATION)}

    def _append(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            points = self._series.setdefault(name, [])
            points.append((step, value))
            if len(points) > MOST:
                points[:] = [_merged(first, second) for first, second in zip(points[::2], points[1::2], strict=False)]


def _number(value: float | None) -> float:
    """Not-a-number for what is none, or larger than any number of a run."""
    return float(value) if value is not None and abs(value) < 1e300 else math.nan


def _merged(first: Point, second: Point) -> Point:
    """Two neighbours as one: the later step, the mean of their finite values."""
    finite = [value for _, value in (first, second) if math.isfinite(value)]
    return second[0], sum(finite) / len(finite) if finite else math.nan


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
