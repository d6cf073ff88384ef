"""The losses of a run so far, kept in bounded memory: what curves are drawn from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from engine.schedule import Progress
from pages.curves import Point
from trackers import Losses
from trackers.loss_log import VALIDATION, is_fact

MOST = 4000
"""Points kept per loss; beyond it, two neighbours become one. 4000 points are more than a screen has columns."""


class LossHistory:
    """Every loss as a series of points (step, value), oldest first.

    Starts from the lines of a loss log, so that a resumed run continues its curves. Facts share those lines: those of
    train.py are known, others are left out from the first ``add`` on that names them.
    """

    def __init__(self, lines: Iterable[Mapping[str, Any]] = ()) -> None:
        self._series: dict[str, list[Point]] = {}
        self._facts = set[str]()
        for line in lines:
            values = {name: value for name, value in line.items() if value is None or isinstance(value, (int, float))}
            self._append(line["step"], {name: _number(value) for name, value in values.items()})

    def add(self, progress: Progress, losses: Losses, facts: Losses) -> None:
        self._facts.update(name for name in facts if name not in losses)
        self._append(progress.steps, losses)

    def series(self) -> dict[str, list[Point]]:
        """Name of each loss -> its points, in the order in which the losses were first seen."""
        return {name: points for name, points in self._series.items() if name not in self._facts and not is_fact(name)}

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
