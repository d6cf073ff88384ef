"""Outlines -> masks.

Coordinates count from the picture's corner; a pixel belongs to a shape if its centre does. Shapes of one instance and
label are one mask.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from data.placement import Size
from data.preparing.tasks import Found
from instagan.io.reading import inside_of
from instagan.io.values import number

Corners = tuple[tuple[float, float], ...]
CORNERS_OF_ROUND = 64


@dataclass(frozen=True)
class Shape:
    """One outline: label, instance it is a part of, corners; ``relative`` ones count in shares of width and height.

    Where there are ``pixels``, a mask as png, the corners are the first and the last pixel of the box that it fills.
    """

    label: str
    instance: int | str
    corners: Corners
    relative: bool = False
    pixels: bytes = b""


@dataclass(frozen=True)
class ShapesAnnotation:
    """The shapes of one picture; ``file`` is named in errors. categories: label -> index, or None for all as one."""

    file: str
    shapes: tuple[Shape, ...]
    categories: dict[str, int] | None
    size: Size | None = None

    @property
    def count(self) -> int:
        return len({(shape.instance, shape.label) for shape in self.shapes})

    def find(self, size: Size) -> Iterator[Found]:
        instances: dict[tuple[int | str, str], list[Shape]] = {}
        for shape in self.shapes:
            if self.categories is None or shape.label in self.categories:
                instances.setdefault((shape.instance, shape.label), []).append(shape)
        for (instance, label), shapes in instances.items():
            inside = np.logical_or.reduce([fill(shape, size) for shape in shapes])
            yield Found(instance, 0 if self.categories is None else self.categories[label], inside)


def fill(shape: Shape, size: Size) -> np.ndarray:
    """The mask (H, W) bool of one outline in a picture of ``size``; where it overlaps itself, outside alternates."""
    if shape.pixels:
        return _pasted(shape, size)
    width, height = size
    scale = np.array(size if shape.relative else (1, 1))
    corners = np.array(shape.corners) * scale  # (n, 2)
    crossings = np.zeros((height, width + 1), np.int32)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        top, bottom = sorted((y0, y1))
        rows = np.arange(max(math.ceil(top - 0.5), 0), min(math.ceil(bottom - 0.5), height))
        if len(rows):  # rows whose centres the edge passes; what lies right of it changes sides
            x = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            np.add.at(crossings, (rows, np.clip(np.ceil(x - 0.5), 0, width).astype(int)), 1)
    return crossings.cumsum(axis=1)[:, :width] % 2 > 0


def _pasted(shape: Shape, size: Size) -> np.ndarray:
    """The pixels of a box at its place; what lies outside of the picture is cut off."""
    left, top = (int(value) for value in shape.corners[0])
    with Image.open(io.BytesIO(shape.pixels)) as image:
        box = Image.fromarray(inside_of(image))
    whole = Image.new("1", size)
    whole.paste(box, (left, top))
    return np.array(whole)  # (H, W)


def ellipse(x: float, y: float, across: float, down: float, turn: float = 0.0) -> Corners:
    """Corners around an ellipse with these half axes, turned by ``turn`` radians."""
    points = []
    for corner in range(CORNERS_OF_ROUND):
        angle = 2 * math.pi * corner / CORNERS_OF_ROUND
        dx, dy = across * math.cos(angle), down * math.sin(angle)
        points.append((x + dx * math.cos(turn) - dy * math.sin(turn), y + dx * math.sin(turn) + dy * math.cos(turn)))
    return checked(as_corners(points))


def checked(corners: Corners) -> Corners:
    """The corners, if they are enough for a polygon. Raises ``ValueError``."""
    if len(corners) < 3:
        raise ValueError(f"a polygon has {len(corners)} points; it takes at least three")
    return corners


def as_corners(points: Iterable[Sequence[Any]]) -> Corners:
    """Pairs of numbers. Raises ``ValueError`` for what is no position."""
    try:
        corners = tuple((number(x), number(y)) for x, y in points)
    except ValueError as error:
        raise ValueError(f"a corner is no pair of numbers ({error})") from None
    if not all(abs(value) < 1e6 for corner in corners for value in corner):
        raise ValueError("a corner is absurdly far away")
    return corners
