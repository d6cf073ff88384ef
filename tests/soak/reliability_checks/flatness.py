"""Whether a figure of a long run stays flat: what it grows by, told by the median of all slopes between its samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

MOST_SAMPLES = 200
"""Of which every two are compared; more are thinned out."""

Sample = tuple[float, float]
"""A step and a value."""


@dataclass(frozen=True)
class Trend:
    """level: the median of the values. growth: by how much they rise from the first sample to the last, in their unit.
    A few outliers move neither (Theil and Sen's slope)."""

    level: float
    growth: float

    @property
    def relative(self) -> float:
        """Growth as a share of the level."""
        return self.growth / self.level if self.level else 0.0


def trend(samples: Sequence[Sample]) -> Trend:
    """Of at least two samples, in the order of their steps."""
    thinned = samples[:: -(-len(samples) // MOST_SAMPLES)]
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for place, earlier in enumerate(thinned)
        for later in thinned[place + 1 :]
        if later[0] > earlier[0]
    ]
    return Trend(median(value for _, value in samples), median(slopes) * (samples[-1][0] - samples[0][0]))


def after_start(samples: Sequence[Sample], share: float) -> list[Sample]:
    """Those after the given share of the steps: what fills up in the beginning (caches, pools) is no growth."""
    first = samples[-1][0] * share
    return [sample for sample in samples if sample[0] >= first]


def rates(samples: Sequence[Sample], count: int) -> list[Sample]:
    """A value that adds up -> by how much it rises per step, in so many stretches of the steps."""
    ends = [samples[round(place * (len(samples) - 1) / count)] for place in range(count + 1)]
    return [
        (later[0], (later[1] - earlier[1]) / (later[0] - earlier[0]))
        for earlier, later in zip(ends, ends[1:], strict=False)
        if later[0] > earlier[0]
    ]
