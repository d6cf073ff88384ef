"""Where in a large picture the networks look: all of it, or around a few instances at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from instagan.io.boxes import Box, box_of

CONTEXT = 1.0
"""How much of its longer side an instance is given around it: it then takes a third of the crop, as it often does in
pictures that models are trained on."""
SMALL = 16
"""An instance whose longer side has fewer pixels is given as much around it as one of so many."""


@dataclass(frozen=True)
class Window:
    """A part of a picture, and which instances are translated in it."""

    box: Box
    members: tuple[int, ...]

    def scale(self, side: int) -> float:
        """How many of its pixels are one that the networks see: 1, or more where it is larger than ``side``."""
        return max(1.0, self.box.longest / side)

    def seen(self, side: int) -> tuple[int, int]:
        """Width and height at which the networks see it."""
        scale = self.scale(side)
        return max(1, round(self.box.width / scale)), max(1, round(self.box.height / scale))


def whole(size: tuple[int, int], members: Sequence[int]) -> Window:
    """All of a picture of this height and width."""
    return Window(Box(0, 0, *size), tuple(members))


def around(inside: np.ndarray, order: Sequence[int], ins_per: int, side: int, context: float = CONTEXT) -> list[Window]:
    """A window for each lot of at most ``ins_per`` instances that are near each other, in the given order.

    inside (N, H, W) bool; order: which of them are translated, none of them empty; side: what the networks look at
    without shrinking it. Instances come together if one window holds them and nobody must be shrunk for it.
    """
    size = (inside.shape[1], inside.shape[2])
    surroundings = {}
    for number in order:
        box = box_of(inside[number])
        surroundings[number] = box.grown(round(context * max(box.longest, SMALL)), size)
    windows = []
    waiting = list(order)
    while waiting:
        members = [waiting.pop(0)]
        box = surroundings[members[0]]
        for number in tuple(waiting):
            near = surroundings[number]
            allowed = max(side, min(box.longest, near.longest))
            if len(members) < ins_per and near.joined(box).longest <= allowed:
                box = near.joined(box)
                members.append(number)
                waiting.remove(number)
        windows.append(Window(box.at_least(side, size), tuple(members)))
    return windows


def fading(box: Box, size: tuple[int, int], feather: int) -> np.ndarray:
    """The share (h, w) float32 that a translation of this part may have: less towards edges within the picture."""
    along = (
        _fading(box.height, box.top > 0, box.bottom < size[0], feather),
        _fading(box.width, box.left > 0, box.right < size[1], feather),
    )
    return np.minimum.outer(*along)


def _fading(length: int, before: bool, after: bool, feather: int) -> np.ndarray:
    place = np.arange(1, length + 1, dtype=np.float32) / (feather + 1)
    share = np.ones(length, np.float32)
    if before:
        share = np.minimum(share, place)
    return np.minimum(share, place[::-1]) if after else share
