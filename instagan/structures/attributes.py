"""The kinds of attributes that instances have; InstaGAN's a_i is any of them."""

from __future__ import annotations

import torch
from torch import Tensor

MASKS, BOXES, KEYPOINTS, PARTS = "masks", "boxes", "keypoints", "parts"
ATTRIBUTES = (MASKS, BOXES, KEYPOINTS, PARTS)


def planes_of(attribute: str, channels: int | None) -> int:
    """A, the planes beside an instance's mask: one for each keypoint or part; none for the others."""
    return (channels or 0) if attribute in (KEYPOINTS, PARTS) else 0


def needs_of(attribute: str) -> tuple[str, ...]:
    """What a generator of such instances needs beside the image. Boxes reach it as rectangles, which are masks."""
    return (MASKS, attribute) if attribute in (KEYPOINTS, PARTS) else (MASKS,)


def label_maps_of(parts: Tensor) -> Tensor:
    """Planes of parts (..., L, H, W) -> label maps (..., H, W) uint8: 0 outside, 1, 2, ... where that part is the
    clearest one."""
    clearest, part = parts.max(-3)  # (..., H, W)
    return torch.where(clearest > 0, part + 1, 0).to(torch.uint8)
