"""Keypoints of an instance as its file has them -> placed as its picture is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data.placement import Placement, Size

SIDES = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)
"""In names such as left_eye, "right ear", hand-Left."""


@dataclass(frozen=True)
class Keypoints:
    """The keypoints of one instance.

    points    x, y, visibility of each in pixels of the picture's file, one after the other
    mirrored  of each, the place of the one that takes its place where the picture is mirrored
    """

    points: tuple[float, ...]
    mirrored: tuple[int, ...]

    def placed(self, placement: Placement, size: Size, count: int) -> Tensor:
        """(count, 3) in pixels of the placed picture; those that are unknown, or not in it, are 0. size: the file's."""
        points = torch.tensor(self.points).reshape(-1, 3)
        if placement.flip:
            points = points[list(self.mirrored)]
        filled = torch.zeros(count, 3)
        filled[: len(points)] = placement.keypoints(points, size)
        return filled


def mirrored_order(names: Sequence[str]) -> tuple[int, ...]:
    """Of each name, the place of the one that takes its place where a picture is mirrored: left_eye that of right_eye;
    its own where there is none."""
    other = [SIDES.sub(lambda side: _opposite(side[0]), name) for name in names]
    return tuple(names.index(name) if name in names else place for place, name in enumerate(other))


def _opposite(side: str) -> str:
    opposite = "right" if side.lower() == "left" else "left"
    return opposite.capitalize() if side[0].isupper() else opposite
