"""What the figures are called and mean, and what one figure tells beside its value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ALL = "all"
"""The group of all pictures, whatever the number of their instances."""


@dataclass(frozen=True)
class Metric:
    """title and unit for tables; better: higher, lower, or empty; digits behind the point."""

    title: str
    unit: str
    better: str
    digits: int = 3


METRICS = {
    "background_mae": Metric("Background error", "mean absolute error on [0, 1]", "lower", 4),
    "background_psnr": Metric("Background PSNR", "dB, at most 100", "higher", 1),
    "background_ssim": Metric("Background SSIM", "at most 1", "higher"),
    "background_lpips": Metric("Background LPIPS", "AlexNet", "lower", 4),
    "background_claimed": Metric("Background claimed", "share that translated masks take", "lower"),
    "change": Metric("Change of instances", "mean absolute difference on [0, 1], where anybody is", "", 4),
    "picture_score": Metric("Classification, picture", "share taken for the target", "higher"),
    "picture_accuracy": Metric("Classifier, real pictures", "accuracy", "", 3),
    "instance_score": Metric("Classification, instances", "share of crops taken for the target", "higher"),
    "instance_accuracy": Metric("Classifier, real instances", "accuracy", "", 3),
    "agreement": Metric("Agreement", "mean IoU of mask and what is seen", "higher"),
    "agreement_found": Metric("Agreement, found", "share with IoU of 0.5 or more", "higher"),
    "truth_shape": Metric("Right shape", "share of instances, by the set's truth", "higher"),
    "truth_colour": Metric("Right colour", "share of instances, by the set's truth", "higher"),
    "truth_both": Metric("Right shape and colour", "share of instances, by the set's truth", "higher"),
    "fid": Metric("FID", "pictures", "lower"),
    "kid": Metric("KID", "pictures", "lower", 4),
    "instance_fid": Metric("FID, instances", "crops", "lower"),
    "instance_kid": Metric("KID, instances", "crops", "lower", 4),
    "balance": Metric("Balance", "harmonic mean of instance score and background kept", "higher"),
    "seconds": Metric("Seconds per picture", "s", "lower"),
    "peak_memory": Metric("Peak memory", "GiB", "lower", 2),
    "parameters": Metric("Parameters", "of the generator", "", 0),
}
"""In the order of tables."""


@dataclass(frozen=True)
class Figure:
    """One number. group: of pictures by their instances; n pictures, instances or whatever ``of`` says it is of.

    std: standard deviation over the seeds, None where nothing was drawn. by: the network that judged. details: what
    else belongs beside it.
    """

    metric: str
    group: str
    value: float
    n: int
    of: str = "pictures"
    std: float | None = None
    by: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_seeds(cls, metric: str, group: str, values: Sequence[float], n: int, **more: Any) -> Figure:
        """From the value of each seed: mean and, of several, standard deviation of the sample."""
        std = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return cls(metric, group, float(np.mean(values)), n, std=std, **more)


def figure_of(figures: Sequence[Figure], metric: str, group: str = ALL) -> Figure | None:
    return next((one for one in figures if (one.metric, one.group) == (metric, group)), None)


def value_of(figures: Sequence[Figure], metric: str, group: str = ALL) -> float | None:
    found = figure_of(figures, metric, group)
    return None if found is None else found.value


def harmonic_mean(one: float, other: float) -> float:
    """Of two shares, 0 if one of them is 0 or less."""
    return 2 * one * other / (one + other) if min(one, other) > 0 else 0.0
