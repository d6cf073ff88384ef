"""How steady a video is from frame to frame, and a blend that makes it steadier.

Compared are pixels that show the same thing in two consecutive frames: background that the source leaves as it was, and
each instance after its box in the first frame is stretched to its box in the second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from instagan.io.boxes import Box, box_of

STILL = 3
"""Levels of 255 by which a pixel of unchanged background may differ: noise of the camera and of compression."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A frame: pixels (H, W, 3) uint8, and inside (N, H, W) bool of the same instances as in every other frame."""

    pixels: np.ndarray
    inside: np.ndarray

    @property
    def occupied(self) -> np.ndarray:
        """What belongs to anybody, (H, W) bool."""
        return np.any(self.inside, axis=0)


@dataclass
class Flicker:
    """Mean absolute change between consecutive frames in levels of 255: of unchanged background, and of instances."""

    background_sum: float = 0.0
    background_count: int = 0
    instance_sum: float = 0.0
    instance_count: int = 0

    @property
    def background(self) -> float:
        return self.background_sum / max(self.background_count, 1)

    @property
    def instances(self) -> float:
        return self.instance_sum / max(self.instance_count, 1)

    def add(self, before: Shown, after: Shown, still: np.ndarray) -> None:
        """Two consecutive frames. still (H, W) bool: see ``still_background``."""
        self.background_sum += float(_apart(before.pixels[still], after.pixels[still]).sum())
        self.background_count += 3 * int(still.sum())
        for place, both, earlier in aligned(before, after):
            change = _apart(earlier[both], after.pixels[place][both])
            self.instance_sum += float(change.sum())
            self.instance_count += change.size


def still_background(before: np.ndarray, after: np.ndarray, occupied: Sequence[np.ndarray]) -> np.ndarray:
    """Pixels (H, W) bool that are nobody's, in neither frame, and (nearly) equal in both frames of the source."""
    still = np.abs(np.subtract(after, before, dtype=np.int16)).max(2) <= STILL
    for anybody in occupied:
        still &= ~anybody
    return still


def aligned(before: Shown, after: Shown) -> Iterator[tuple[tuple[slice, slice], np.ndarray, np.ndarray]]:
    """For each instance that both frames show: where its box is in ``after``, which pixels (h, w) bool of that box
    belong to it in both, and the pixels (h, w, 3) of ``before``, its box stretched to that one."""
    for earlier, later in zip(before.inside, after.inside, strict=True):
        if not (earlier.any() and later.any()):
            continue
        source, target = box_of(earlier), box_of(later)
        inside = _stretched(earlier.view(np.uint8) * np.uint8(255), source, target) > 127
        yield target.place, inside & later[target.place], _stretched(before.pixels, source, target)


def blended(before: Shown, after: Shown, still: np.ndarray | None, share: float) -> np.ndarray:
    """``after`` with so much of ``before`` where both show the same: pixels (H, W, 3) uint8.

    still (H, W) bool: unchanged background, None leaves all background as it is.
    """
    pixels = after.pixels.copy()
    if still is not None:
        pixels[still] = _mixed(before.pixels[still], after.pixels[still], share)
    for place, both, earlier in aligned(before, after):
        pixels[place][both] = _mixed(earlier[both], after.pixels[place][both], share)
    return pixels


def _stretched(pixels: np.ndarray, source: Box, target: Box) -> np.ndarray:
    part = Image.fromarray(np.ascontiguousarray(pixels[source.place]))
    return np.asarray(part.resize((target.width, target.height), Image.Resampling.BILINEAR))


def _mixed(before: np.ndarray, after: np.ndarray, share: float) -> np.ndarray:
    return np.rint(share * before.astype(np.float32) + (1 - share) * after).astype(np.uint8)


def _apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.abs(np.subtract(one, other, dtype=np.int16))
