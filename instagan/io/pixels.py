"""Tensors to pictures and back: the only owner of the step between [-1, 1] and [0, 255]."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from instagan.structures.instances import INSIDE, OUTSIDE


def to_tensor(picture: Image.Image) -> Tensor:
    """An RGB picture as float32 (3, H, W) in [-1, 1]."""
    return pixels_to_tensor(np.asarray(picture.convert("RGB")))


def pixels_to_tensor(pixels: np.ndarray) -> Tensor:
    """Pixels (H, W, 3) uint8 as float32 (3, H, W) in [-1, 1]."""
    return from_levels(pixels.transpose(2, 0, 1))  # (3, H, W)


def from_levels(levels: np.ndarray) -> Tensor:
    """Any shape uint8 as float32 in [-1, 1], contiguous."""
    image = np.empty(levels.shape, np.float32)
    np.divide(levels, np.float32(127.5), out=image)
    image -= 1
    return torch.from_numpy(image)


def to_levels(image: Tensor) -> np.ndarray:
    """What ``from_levels`` made its tensor of."""
    return ((image + 1) * 127.5).round_().to(torch.uint8).numpy()


def mask_to_tensor(inside: np.ndarray) -> Tensor:
    """A bool array of any shape as float32, -1 outside and +1 inside."""
    mask = np.empty(inside.shape, np.float32)
    np.multiply(inside.view(np.uint8), np.float32(INSIDE - OUTSIDE), out=mask)
    mask += OUTSIDE
    return torch.from_numpy(mask)


def to_bytes(image: Tensor) -> np.ndarray:
    """An image (3, H, W) in [-1, 1], of any float type and device, as uint8 (H, W, 3); not-a-number is mid grey."""
    levels = torch.nan_to_num(image.detach().to("cpu", torch.float32)).clamp(-1, 1)
    return ((levels + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()  # (H, W, 3)


def to_picture(image: Tensor) -> Image.Image:
    """An image (3, H, W) in [-1, 1] as an RGB picture; ``to_picture(to_tensor(p))`` is p, pixel for pixel."""
    return Image.fromarray(np.ascontiguousarray(to_bytes(image)))


def to_mask_picture(mask: Tensor) -> Image.Image:
    """A mask (H, W) as a grey picture: 255 where it is above 0, else 0."""
    inside = (mask.detach() > 0).cpu().numpy()
    return Image.fromarray(np.where(inside, 255, 0).astype(np.uint8))
