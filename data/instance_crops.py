"""Where --instance_crops looks: a window that holds an instance and what is around it, drawn at random."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from instagan.io.boxes import CROP_CONTEXT

Box = Sequence[float]
"""Left, top, right and bottom in pixels of the picture."""


def draw_window(
    size: tuple[int, int], fine: tuple[int, int], box: Box | None, random: np.random.Generator
) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a window in a picture of ``size``, of width x height ``fine`` if it can be.

    It lies anywhere where it holds the box and its context; box None: anywhere at all. Where those do not fit, it is as
    much larger; where the picture is too small, as much smaller: of the same shape, to be resized to ``fine``. Of a box
    that no such window can hold it shows a part.
    """
    tight, around = (_grown(box, context, size) if box else None for context in (0.0, CROP_CONTEXT))
    needed = max((around[2] - around[0]) / fine[0], (around[3] - around[1]) / fine[1], 1.0) if around else 1.0
    scale = min(needed, size[0] / fine[0], size[1] / fine[1])
    lengths = [min(math.ceil(scale * wanted), side) for wanted, side in zip(fine, size, strict=True)]
    spans = [[(one[axis], one[axis + 2]) for one in (around, tight) if one] for axis in (0, 1)]
    left, top = (_draw_start(*axis, random) for axis in zip(lengths, size, spans, strict=True))
    return left, top, left + lengths[0], top + lengths[1]


def _grown(box: Box, context: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box with so much of its longer side around it, of whole pixels of the picture."""
    left, top, right, bottom = box
    margin = context * max(right - left, bottom - top)
    corner = max(math.floor(left - margin), 0), max(math.floor(top - margin), 0)
    return *corner, min(math.ceil(right + margin), size[0]), min(math.ceil(bottom + margin), size[1])


def _draw_start(length: int, side: int, spans: Sequence[tuple[int, int]], random: np.random.Generator) -> int:
    """Where a stretch of ``length`` within 0 ... side begins that holds the first of the spans that it can hold."""
    first, last = 0, side - length
    for low, high in spans:
        first, last = high - length, low
        if first <= last:
            break
    first, last = sorted((first, last))  # too short for any of them: within the last one
    return int(random.integers(max(first, 0), min(last, side - length) + 1))
