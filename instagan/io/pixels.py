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
    """Pixels (H, W, C) uint8, or floats as shares of a range, 0 to 1, as float32 (C, H, W) in [-1, 1].

    What is beyond the range is cut off.
    """
    planes = pixels.transpose(2, 0, 1)  # (C, H, W)
    if pixels.dtype == np.uint8:
        return from_levels(planes)
    shares = np.array(planes, np.float32, order="C")  # its own: what is handed over may be read-only
    return torch.from_numpy(shares).mul_(2).sub_(1).clamp_(-1, 1)


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


def to_pixels(image: Tensor, whole: bool = True) -> np.ndarray:
    """An image (C, H, W) in [-1, 1], of any float type and device, as uint8 (H, W, C), or where it is not to be in
    ``whole`` levels as float32 shares; not-a-number is in the middle."""
    levels = torch.nan_to_num(image.detach().to("cpu", torch.float32)).clamp(-1, 1).permute(1, 2, 0)  # (H, W, C)
    return ((levels + 1) * 127.5).round().to(torch.uint8).numpy() if whole else ((levels + 1) / 2).numpy()


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixels (H, W, C) uint8, or floats in [0, 1], at width x height: bicubic, as PIL does it."""
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    kind = np.uint8 if pixels.dtype == np.uint8 else np.float32
    planes = (Image.fromarray(np.ascontiguousarray(plane, kind)) for plane in pixels.transpose(2, 0, 1))
    return np.stack([np.asarray(plane.resize(size, Image.Resampling.BICUBIC)) for plane in planes], axis=2)


def to_bytes(image: Tensor) -> np.ndarray:
    """An image (C, H, W) in [-1, 1], of any float type and device, as it is shown, uint8 (H, W, 3).

    One channel is grey, two are red and green, of more the first three are red, green and blue.
    """
    if len(image) == 2:
        image = torch.cat([image, torch.full_like(image[:1], -1)])
    return to_pixels(image.expand(3, -1, -1) if len(image) == 1 else image[:3])  # (H, W, 3)


def to_picture(image: Tensor) -> Image.Image:
    """An image (C, H, W) in [-1, 1] as an RGB picture, see ``to_bytes``; of a picture's tensor it is that picture."""
    return Image.fromarray(np.ascontiguousarray(to_bytes(image)))


def as_shown(pixels: np.ndarray) -> Image.Image:
    """Pixels (H, W, C) uint8, or floats in [0, 1], as an RGB picture, see ``to_bytes``."""
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return Image.fromarray(pixels)
    return to_picture(pixels_to_tensor(pixels))


def to_mask_picture(mask: Tensor) -> Image.Image:
    """A mask (H, W) as a grey picture: 255 where it is above 0, else 0."""
    inside = (mask.detach() > 0).cpu().numpy()
    return Image.fromarray(np.where(inside, 255, 0).astype(np.uint8))
