"""Pictures and instances at one size, as networks take them. Pictures are (H, W, 3) uint8."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from instagan.io.boxes import Box, box_of
from instagan.metrics.outcome import Mask, Outcome, Real

LEAST_SIDE = 8
"""A crop is at least so large, as far as the picture allows."""


def square(picture: np.ndarray, box: Box) -> np.ndarray:
    """The part of a picture around a box, as a square as far as the picture allows. No margin: little background."""
    grown = box.at_least(max(box.longest, LEAST_SIDE), (picture.shape[0], picture.shape[1]))
    return picture[grown.place]


def crops_of(outcome: Outcome) -> list[np.ndarray | None]:
    """The translated picture around each instance; None where it cannot be told where that is."""
    return [None if box is None else square(outcome.fake, box) for box in outcome.boxes()]


def real_crops(reals: Iterable[Real]) -> list[np.ndarray]:
    """Around every instance of real pictures."""
    return [square(real.picture, box_of(mask)) for real in reals for mask in real.masks if _shows(mask)]


def as_batch(pictures: Sequence[np.ndarray], side: int | None) -> Tensor:
    """Pictures of any sizes as (n, 3, side, side) uint8, antialiased; of one size and without ``side`` as they are."""
    tensors = [torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None] for picture in pictures]
    if side is not None:
        tensors = [_resized(tensor, side) for tensor in tensors]
    return torch.cat(tensors)  # (n, 3, h, w)


def _resized(picture: Tensor, side: int) -> Tensor:
    if picture.shape[2:] == (side, side):
        return picture
    resized = functional.interpolate(picture.float(), (side, side), mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)


def _shows(mask: Mask) -> bool:
    return bool(mask.any())
