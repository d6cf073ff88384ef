"""How large pictures are written: which placement a picture of some size gets."""

from __future__ import annotations

from dataclasses import dataclass

from data.placement import Placement, Size
from instagan.errors import InputError

LARGEST_SIDE = 30000


@dataclass(frozen=True)
class Target:
    """The size to write. 0 x 0 leaves pictures as they are; ``keep_aspect`` resizes and does not crop."""

    width: int
    height: int
    keep_aspect: bool = False

    def place(self, size: Size, name: str = "picture") -> Placement:
        """Resized so that it just covers the target (for a square: shorter side to its side), then the centre.

        The longer side is rounded down and the crop's corner to the nearest pixel, as torchvision's ``Resize`` and
        ``CenterCrop`` do, with which the published sets were made. Raises ``InputError`` for an absurd shape.
        """
        width, height = size
        if self.width == 0:
            return Placement(size, (0, 0, width, height), False)
        if width * self.height <= height * self.width:
            resized = self.width, max(self.height, int(self.width * height / width))
        else:
            resized = max(self.width, int(self.height * width / height)), self.height
        if max(resized) > LARGEST_SIDE:
            raise InputError(
                f"{name}: {width}x{height} pixels would be resized to {resized[0]}x{resized[1]}; remove this picture"
            )
        if self.keep_aspect:
            return Placement(resized, (0, 0, *resized), False)
        left, top = round((resized[0] - self.width) / 2), round((resized[1] - self.height) / 2)
        return Placement(resized, (left, top, left + self.width, top + self.height), False)
