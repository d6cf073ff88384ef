"""Upright rectangles in a picture, in pixels; bottom and right are exclusive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CROP_CONTEXT = 1 / 6
"""How much of its longer side an instance has around it, at least, in the windows of --instance_crops: it then takes at
most three quarters of the window. In training, and where models that were trained so translate."""


@dataclass(frozen=True)
class Box:
    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def longest(self) -> int:
        return max(self.height, self.width)

    @property
    def place(self) -> tuple[slice, slice]:
        """Its lines and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def joined(self, other: Box) -> Box:
        """The smallest that holds both."""
        corner = min(self.top, other.top), min(self.left, other.left)
        return Box(*corner, max(self.bottom, other.bottom), max(self.right, other.right))

    def grown(self, margin: int, size: tuple[int, int]) -> Box:
        """By so many pixels in each direction, within a picture of this height and width."""
        height, width = size
        corner = max(self.top - margin, 0), max(self.left - margin, 0)
        return Box(*corner, min(self.bottom + margin, height), min(self.right + margin, width))

    def at_least(self, side: int, size: tuple[int, int]) -> Box:
        """Not smaller than side x side as far as the picture allows, around the same middle where it can be."""
        top, bottom = _stretched(self.top, self.bottom, side, size[0])
        left, right = _stretched(self.left, self.right, side, size[1])
        return Box(top, left, bottom, right)


def box_of(inside: np.ndarray) -> Box:
    """Around a mask (H, W) bool that is not empty."""
    lines, columns = inside.any(1).nonzero()[0], inside.any(0).nonzero()[0]
    return Box(int(lines[0]), int(columns[0]), int(lines[-1]) + 1, int(columns[-1]) + 1)


def _stretched(start: int, stop: int, least: int, length: int) -> tuple[int, int]:
    missing = min(least, length) - (stop - start)
    if missing <= 0:
        return start, stop
    start = min(max(start - missing // 2, 0), length - (stop - start) - missing)
    return start, start + min(least, length)
