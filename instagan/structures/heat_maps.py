"""Keypoints as heat maps, and back: a Gaussian around every known point; a point is where its heat map is highest.

Letters: K keypoints, H x W picture. Positions count the edges of pixels, as those of boxes do: the middle of the first
pixel is at 0.5.
"""

from __future__ import annotations

import torch
from torch import Tensor

SPREAD = 1 / 32
"""Standard deviation of a point's Gaussian, as a share of the picture's shorter side."""
LEAST_SPREAD = 1.5
"""In pixels: a narrower one would fall between the features of the networks."""
FAINTEST = 1e-3
"""Heights below are as this one where a maximum is refined, for they are mostly noise."""


def heat_maps(keypoints: Tensor, height: int, width: int) -> Tensor:
    """x, y and visibility (..., K, 3) -> (..., K, H, W) in [-1, 1]: 1 at the point, -1 far away, or where it is unknown
    (visibility 0)."""
    spread = max(SPREAD * min(height, width), LEAST_SPREAD)
    x, y, visibility = keypoints.unbind(-1)  # (..., K)
    columns = torch.arange(width, device=keypoints.device) + 0.5
    rows = torch.arange(height, device=keypoints.device) + 0.5
    across = (-((columns - x[..., None]) ** 2) / (2 * spread**2)).exp()  # (..., K, W)
    down = (-((rows - y[..., None]) ** 2) / (2 * spread**2)).exp()  # (..., K, H)
    heights = down[..., :, None] * across[..., None, :]  # (..., K, H, W)
    return torch.where((visibility > 0)[..., None, None], heights * 2 - 1, -1)


def points_of(maps: Tensor) -> Tensor:
    """Heat maps (..., K, H, W) in [-1, 1] -> x, y and visibility (..., K, 3), exact for those of ``heat_maps``.

    A point is at the highest place of its map, between pixels by the parabola through the logarithms of it and its
    neighbours. Visibility is 2 where that is above 0; a point of a lower map is unknown: 0, 0, 0.
    """
    *before, height, width = maps.shape
    if not height * width or not maps.numel():
        return maps.new_zeros((*before, 3))
    highest, place = maps.flatten(-2).max(-1)  # (..., K)
    row, column = place // width, place % width  # (..., K)
    logarithms = ((maps + 1) / 2).clamp(min=FAINTEST).log()  # (..., K, H, W)
    along_x = logarithms.gather(-2, row[..., None, None].expand(*before, 1, width))[..., 0, :]  # (..., K, W)
    along_y = logarithms.gather(-1, column[..., None, None].expand(*before, height, 1))[..., 0]  # (..., K, H)
    x, y = column + 0.5 + _beside(along_x, column), row + 0.5 + _beside(along_y, row)  # (..., K)
    found = torch.stack([x, y, torch.full_like(x, 2)], dim=-1)  # (..., K, 3)
    return torch.where((highest > 0)[..., None], found, 0)


def _beside(line: Tensor, place: Tensor) -> Tensor:
    """How far, in pixels, the top of a parabola is from the highest place (..., K) of a line (..., K, L): within half
    of one, and 0 at the line's ends."""
    last = line.shape[-1] - 1
    here, before, after = (line.gather(-1, (place + step).clamp(0, last)[..., None])[..., 0] for step in (0, -1, 1))
    bend = before - 2 * here + after  # (..., K), below 0 at a maximum
    inner = (place > 0) & (place < last) & (bend < 0)
    return torch.where(inner, (before - after) / (2 * bend.where(inner, -1)), 0).clamp(-0.5, 0.5)
