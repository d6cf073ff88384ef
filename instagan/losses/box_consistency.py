"""Instance consistency: objects stay where they are (DUNIT, Bhattacharjee, Kim, Vizier, Salzmann, CVPR 2020)."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from instagan.structures.instances import InstanceBatch


class Detector(Protocol):
    """Says where it sees objects that it is told of."""

    def regressed(self, images: Tensor, owner: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
        """Images (B, 3, H, W), and P objects of them: owner, boxes in pixels, labels -> corners (P, 4) in shares of
        width and height, in the same order, with gradients to the images."""


def box_consistency(detector: Detector, x: InstanceBatch, y: Tensor) -> Tensor:
    """How far each object of x (B) seems to have moved in the translation y (B, 3, H, W): (P,), 0 where y is x.

    The L1 distance of both corners, in shares of width and height. The boxes of x are proposals for x and for y alike,
    so that every object is compared with itself. The gradient reaches y alone, if the detector's weights are frozen.
    """
    owner, slot = x.instances()
    if not len(owner):
        return y.new_zeros(0)
    objects = owner, x.boxes[owner, slot], x.labels[owner, slot]
    with torch.no_grad():
        before = detector.regressed(x.image, *objects)  # (P, 4)
    return (detector.regressed(y, *objects) - before).abs().sum(1)  # (P,)
