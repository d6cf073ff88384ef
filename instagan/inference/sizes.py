"""Any picture size -> one that the networks take: widened to the right and to the bottom, and cut back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from instagan.networks.blocks import SIZE_MULTIPLE
from instagan.structures.instances import OUTSIDE

SMALLEST_SIDE = 2 * SIZE_MULTIPLE
"""Reflection within the networks needs two features in each direction."""


@dataclass(frozen=True, order=True)
class Widening:
    """From height x width to padded_height x padded_width; the picture stays in the upper left corner."""

    height: int
    width: int

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width that the networks see: multiples of 4, and at least 8."""
        return _fitting(self.height), _fitting(self.width)

    def image(self, image: Tensor) -> Tensor:
        """(..., H, W) -> (..., padded): goes on as a mirror would show it, back and forth where it is small."""
        rows, columns = (
            torch.from_numpy(np.pad(np.arange(length), (0, padded - length), mode="reflect"))
            for length, padded in zip((self.height, self.width), self.padded, strict=True)
        )
        if self.padded == (self.height, self.width):
            return image
        return image.index_select(-2, rows).index_select(-1, columns)

    def masks(self, masks: Tensor) -> Tensor:
        """(..., H, W) -> (..., padded): nobody is in what is new."""
        height, width = self.padded
        return functional.pad(masks, (0, width - self.width, 0, height - self.height), value=OUTSIDE)

    def cut(self, tensor: Tensor) -> Tensor:
        """(..., padded) -> (..., H, W)."""
        return tensor[..., : self.height, : self.width]


def _fitting(side: int) -> int:
    return max(SMALLEST_SIDE, -(-side // SIZE_MULTIPLE) * SIZE_MULTIPLE)
