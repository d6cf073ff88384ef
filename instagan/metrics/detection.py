"""How well objects are found: average precision, and precision and recall at a score. Boxes are (n, 4) in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from instagan.structures.boxes import intersection_over_union


@dataclass(frozen=True)
class Found:
    """What was found in one image, and what is there: boxes, labels (n,), scores (n,) of what was found."""

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    true_boxes: Tensor
    true_labels: Tensor


@dataclass(frozen=True)
class ClassFigures:
    """Of one class, each in [0, 1]. average_precision: area below the curve of precision over recall, precision being
    the best at that recall or a higher one. precision, recall: of what has the score that counts as found. None where
    nothing is there, or nothing was found."""

    objects: int
    average_precision: float | None
    precision: float | None
    recall: float | None


def figures_of_class(images: Sequence[Found], label: int, score: float, overlap: float = 0.5) -> ClassFigures:
    """A box is right if it covers an object of its class by at least ``overlap`` (intersection over union) that no
    better scored one has taken."""
    there = sum(int((one.true_labels == label).sum()) for one in images)
    verdicts = [(s, right) for one in images for s, right in _verdicts(one, label, overlap)]
    verdicts.sort(key=lambda verdict: -verdict[0])
    good = [right for s, right in verdicts if s > score]
    precision = sum(good) / len(good) if good else None
    if not there:
        return ClassFigures(0, None, precision, None)
    hits = torch.tensor([right for _, right in verdicts], dtype=torch.float64).cumsum(0)  # (n,)
    curve = hits / torch.arange(1, len(hits) + 1)
    best = curve.flip(0).cummax(0).values.flip(0) if len(hits) else curve
    gained = torch.diff(hits, prepend=hits.new_zeros(1)) / there
    return ClassFigures(there, float((best * gained).sum()), precision, sum(good) / there)


def _verdicts(one: Found, label: int, overlap: float) -> list[tuple[float, bool]]:
    """Score of each box of a class in one image, and whether it is right."""
    mine, truth = one.labels == label, one.true_boxes[one.true_labels == label]
    scores = one.scores[mine]
    order = scores.argsort(descending=True, stable=True)
    covers = intersection_over_union(one.boxes[mine][order], truth)  # (n, m)
    free, verdicts = torch.ones(len(truth), dtype=torch.bool), []
    for score, of_one in zip(scores[order].tolist(), covers, strict=True):
        of_one = torch.where(free, of_one, 0)
        right = len(truth) > 0 and bool(of_one.max() >= overlap)
        if right:
            free[of_one.argmax()] = False
        verdicts.append((score, right))
    return verdicts
