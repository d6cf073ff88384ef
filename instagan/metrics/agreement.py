"""Whether masks fit what is seen: intersection over union, and who belongs to whom. Masks are (H, W) bool."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FOUND = 0.5
"""A mask whose intersection over union with what was found reaches this shows an instance that is there."""


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two masks; 0 if both are empty."""
    either = np.count_nonzero(one | other)
    return float(np.count_nonzero(one & other) / either) if either else 0.0


def matched(masks: Sequence[np.ndarray | None], found: Sequence[np.ndarray]) -> list[float]:
    """Intersection over union of each mask with its own one of those found, 0 without any."""
    return [fit for _, fit in paired(masks, found)]


def paired(masks: Sequence[np.ndarray | None], found: Sequence[np.ndarray]) -> list[tuple[int | None, float]]:
    """Of each mask the index of its own one of those found, and their intersection over union; None and 0 without any.

    Nobody is given away twice: pairs are made from the best fitting one on, as detections are matched elsewhere.
    """
    table = [[0.0 if mask is None else overlap(mask, other) for other in found] for mask in masks]
    pairs: dict[int, tuple[int | None, float]] = {}
    taken: set[int] = set()
    for fit, m, f in sorted((-fit, m, f) for m, row in enumerate(table) for f, fit in enumerate(row) if fit > 0):
        if m not in pairs and f not in taken:
            pairs[m] = f, -fit
            taken.add(f)
    return [pairs.get(m, (None, 0.0)) for m in range(len(masks))]
