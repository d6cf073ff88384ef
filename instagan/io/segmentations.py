"""One COCO segmentation -> mask, strictly: what pycocotools would read as something else is refused.

pycocotools takes four numbers for a box, and runs that do not add up for a mask of another size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from instagan.io.optional import need

Size = tuple[int, int]
"""Width and height in pixels, in this order, as PIL has it."""

TURNS = 100
"""An outline is at most so many times as long as half of the picture's edge: pycocotools takes memory by its length."""

BITS = 60
"""Of one run in COCO's text form, at most: no picture has as many pixels."""


def decode(segmentation: Any, size: Size) -> np.ndarray:
    """Polygons, or runs in either form -> (H, W) bool. Raises ``ValueError`` saying what is wrong."""
    codec = need("pycocotools.mask", "pycocotools", "reading COCO masks")
    width, height = size
    counts = check(segmentation, size)
    if counts is None:
        runs = codec.merge(codec.frPyObjects([list(polygon) for polygon in segmentation], height, width))
        return codec.decode(runs).astype(bool)
    values = np.zeros(len(counts), bool)
    values[1::2] = True
    return np.repeat(values, counts).reshape(width, height).T  # runs go down the columns


def check(segmentation: Any, size: Size) -> list[int] | None:
    """The lengths of its runs, None for polygons. Raises ``ValueError`` saying what is wrong; decodes nothing."""
    width, height = size
    if isinstance(segmentation, (list, tuple)):
        _check_polygons(segmentation, size)
        return None
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        raise ValueError("has no segmentation (only a box?)")
    if segmentation.get("size") not in ([height, width], (height, width)):
        raise ValueError(f"its runs (RLE) are for size {segmentation.get('size')}, the picture is {[height, width]}")
    counts = segmentation["counts"]
    if isinstance(counts, str):
        counts = _uncompressed(counts)
    if not isinstance(counts, list) or not all(isinstance(run, int) and run >= 0 for run in counts):
        raise ValueError("its runs (RLE counts) are not whole numbers of 0 or more")
    if sum(counts) != height * width:
        raise ValueError(f"its runs (RLE counts) add up to {sum(counts)}, the picture has {height * width} pixels")
    return counts


def _check_polygons(polygons: Sequence[Any], size: Size) -> None:
    farthest, length = 10 * max(size), 0.0
    if not polygons:
        raise ValueError("has no segmentation (only a box?)")
    for polygon in polygons:
        if not isinstance(polygon, (list, tuple)) and not hasattr(polygon, "typecode"):
            raise ValueError("its segmentation is no list of polygons")
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"a polygon has {len(polygon)} numbers; it takes x and y of at least three points")
        if not all(isinstance(number, (int, float)) and number == number for number in polygon):
            raise ValueError("a polygon has a corner that is not a number")
        if max(map(abs, polygon)) > farthest:
            raise ValueError("a polygon has a corner that is far outside of the picture")
        corners = list(zip(polygon[::2], polygon[1::2], strict=True))
        length += sum(map(math.dist, corners, [*corners[1:], corners[0]]))
    if length > TURNS * sum(size) + 8 * farthest:
        raise ValueError(f"its outline is {length:.0f} pixels long, as that of no instance can be")


def _uncompressed(text: str) -> list[int]:
    """Runs from COCO's text form: five bits a letter, lowest first; from the fourth on, what the last but one lacks."""
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64:
            raise ValueError("its runs (RLE counts) hold a letter that does not belong there")
        if shift >= BITS:
            raise ValueError("its runs (RLE counts) hold a number that is longer than any run")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) and 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("its runs (RLE counts) break off")
    return runs
