"""One COCO segmentation, or box -> mask, strictly: what pycocotools would read as something else is refused.

pycocotools takes four numbers for a box, and runs that do not add up for a mask of another size.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from instagan.io.optional import need
from instagan.io.values import identity, number
from instagan.structures.boxes import area, clip, rasterise

Size = tuple[int, int]
"""Width and height in pixels, in this order, as PIL has it."""

TURNS = 100
"""An outline is at most so many times as long as half of the picture's edge: pycocotools takes memory by its length."""

BITS = 60
"""Of one run in COCO's text form, at most: no picture has as many pixels."""


@dataclass(frozen=True)
class Rectangle:
    """What stands for the segmentation of an instance that has a box alone. In pixels, right and bottom exclusive."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def corners(self) -> tuple[float, float, float, float]:
        return self.left, self.top, self.right, self.bottom


def shape_of(segmentation: Any, bbox: Any) -> Any:
    """What an annotation tells of its shape: its segmentation or, where that is missing or an empty list, its box.

    bbox: left, top, width, height as COCO has them, or anything else, which is no box.
    """
    empty = isinstance(segmentation, (list, tuple)) and not any(map(_is_something, segmentation))
    if segmentation is not None and not empty:
        return segmentation
    try:
        left, top, width, height = map(number, bbox)
    except (TypeError, ValueError):
        return segmentation
    return Rectangle(left, top, left + width, top + height)


def _is_something(polygon: Any) -> bool:
    return not hasattr(polygon, "__len__") or len(polygon) > 0


def tidy(segmentation: Any) -> Any:
    """A segmentation as json holds it -> polygons as arrays of doubles, which take a quarter of the memory, or runs.

    One polygon without the list around it, corners as pairs, and numbers as text are read as what they mean. What is no
    segmentation stays as it is: ``check`` says so, if the annotation is wanted.
    """
    if isinstance(segmentation, list):
        try:
            polygons = [array("d", polygon) for polygon in segmentation]
            return [sum(polygons, array("d"))] if len(polygons) > 2 and {2} == set(map(len, polygons)) else polygons
        except (TypeError, OverflowError):
            with suppress(TypeError, ValueError):
                return [array("d", map(number, polygon)) for polygon in _as_polygons(segmentation)]
    return segmentation


def _as_polygons(found: list[Any]) -> list[Any]:
    if found and not isinstance(found[0], list):
        return [found]  # x, y, x, y, ...
    if found and all(isinstance(polygon, list) and polygon and isinstance(polygon[0], list) for polygon in found):
        return [[value for corner in polygon for value in corner] for polygon in found]
    return found


def decode(segmentation: Any, size: Size) -> np.ndarray:
    """Polygons, runs in either form, or a rectangle -> (H, W) bool. Raises ``ValueError`` saying what is wrong."""
    codec = need("pycocotools.mask", "pycocotools", "reading COCO masks")
    width, height = size
    counts = check(segmentation, size)
    if isinstance(segmentation, Rectangle):
        return rasterise(torch.tensor(segmentation.corners), height, width).numpy()
    if counts is None:
        runs = codec.merge(codec.frPyObjects([list(polygon) for polygon in segmentation], height, width))
        return codec.decode(runs).astype(bool)
    values = np.zeros(len(counts), bool)
    values[1::2] = True
    return np.repeat(values, counts).reshape(width, height).T  # runs go down the columns


def check(segmentation: Any, size: Size) -> list[int] | None:
    """The lengths of its runs, None for others. Raises ``ValueError`` saying what is wrong; decodes nothing."""
    width, height = size
    if isinstance(segmentation, Rectangle):
        if not area(clip(torch.tensor(segmentation.corners), width, height)) > 0:
            raise ValueError(f"has no segmentation, and its box {_told(segmentation)} holds nothing of the picture")
        return None
    if isinstance(segmentation, (list, tuple)):
        _check_polygons(segmentation, size)
        return None
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        raise ValueError("has no segmentation and no box")
    if not _is_size(segmentation.get("size"), height, width):
        raise ValueError(f"its runs (RLE) are for size {segmentation.get('size')}, the picture is {[height, width]}")
    counts = segmentation["counts"]
    if isinstance(counts, str):
        counts = _uncompressed(counts)
    with suppress(TypeError, ValueError):
        counts = [run if type(run) is int else identity(run) for run in counts]
    if not isinstance(counts, list) or not all(isinstance(run, int) and run >= 0 for run in counts):
        raise ValueError("its runs (RLE counts) are not whole numbers of 0 or more")
    if sum(counts) != height * width:
        raise ValueError(f"its runs (RLE counts) add up to {sum(counts)}, the picture has {height * width} pixels")
    return counts


def _told(rectangle: Rectangle) -> str:
    """As COCO writes it."""
    left, top, right, bottom = rectangle.corners
    return "[" + ", ".join(f"{value:g}" for value in (left, top, right - left, bottom - top)) + "]"


def size_of_runs(segmentation: Any) -> Size | None:
    """Width and height that runs are for; None for polygons."""
    told = segmentation.get("size") if isinstance(segmentation, dict) else None
    with suppress(TypeError, ValueError):
        height, width = map(number, told or ())
        return int(width), int(height)
    return None


def _is_size(told: Any, height: int, width: int) -> bool:
    with suppress(TypeError, ValueError):
        return [number(side) for side in told] == [height, width]
    return False


def _check_polygons(polygons: Sequence[Any], size: Size) -> None:
    farthest, length = 10 * max(size), 0.0
    if not polygons:
        raise ValueError("has no segmentation and no box")
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
