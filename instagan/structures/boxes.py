"""Geometry of boxes: tensors (..., 4) of left, top, right, bottom in pixels -> tensors. Pure functions.

Coordinates count the edges of pixels, not their centres: the first column reaches from 0 to 1, so that right - left is
the width, and right and bottom are the first outside. They need not be whole. A box without width or height, such as
the 0, 0, 0, 0 of an absent slot, holds nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor


def area(boxes: Tensor) -> Tensor:
    """(..., 4) -> (...) in square pixels; 0 where right or bottom is not beyond left or top."""
    width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]  # (...)
    return width.clamp(min=0) * height.clamp(min=0)


def intersection_over_union(one: Tensor, other: Tensor) -> Tensor:
    """Every box of the one with every box of the other: (..., N, 4) and (..., M, 4) -> (..., N, M) in [0, 1].

    0 for boxes that do not meet, and for boxes that hold nothing.
    """
    mine, theirs = one[..., :, None, :], other[..., None, :, :]  # (..., N, 1, 4), (..., 1, M, 4)
    corner = torch.maximum(mine[..., :2], theirs[..., :2])  # (..., N, M, 2)
    both = area(torch.cat([corner, torch.minimum(mine[..., 2:], theirs[..., 2:])], dim=-1))  # (..., N, M)
    either = area(mine) + area(theirs) - both  # (..., N, M)
    return torch.where(either > 0, both / either.where(either > 0, 1), 0)


def scale(boxes: Tensor, x: float, y: float) -> Tensor:
    """(..., 4) of a picture -> (..., 4) of the same picture resized by these factors."""
    return boxes * boxes.new_tensor([x, y, x, y])


def shift(boxes: Tensor, x: float, y: float) -> Tensor:
    """(..., 4) -> (..., 4), moved to the right and down by so many pixels."""
    return boxes + boxes.new_tensor([x, y, x, y])


def flip(boxes: Tensor, width: float) -> Tensor:
    """(..., 4) of a picture of this width -> (..., 4) of the same picture mirrored left to right."""
    left, top, right, bottom = boxes.unbind(-1)
    return torch.stack([width - right, top, width - left, bottom], dim=-1)


def clip(boxes: Tensor, width: float, height: float) -> Tensor:
    """(..., 4) -> (..., 4): the part within a picture; 0, 0, 0, 0 where nothing of the box is within it."""
    clipped = torch.stack(
        [edge.clamp(0, limit) for edge, limit in zip(boxes.unbind(-1), (width, height) * 2, strict=True)], dim=-1
    )
    return torch.where((area(clipped) > 0)[..., None], clipped, 0)


def squared(boxes: Tensor, width: float, height: float) -> Tensor:
    """(..., 4) within a picture -> (..., 4): around each the square of its longer side, moved into the picture.

    Where the picture is narrower or lower than that, the square is as large as fits.
    """
    left, top, right, bottom = boxes.unbind(-1)
    side = torch.maximum(right - left, bottom - top).clamp(max=min(width, height))  # (...)
    x = torch.minimum(((left + right - side) / 2).clamp(min=0), width - side)
    y = torch.minimum(((top + bottom - side) / 2).clamp(min=0), height - side)
    return torch.stack([x, y, x + side, y + side], dim=-1)


def share_kept(boxes: Tensor, width: float, height: float) -> Tensor:
    """(..., 4) -> (...) in [0, 1]: how much of each box's area is within a picture; 0 for a box without area."""
    whole, within = area(boxes), area(clip(boxes, width, height))
    return within / whole.where(whole > 0, 1)


def boxes_of_masks(inside: Tensor) -> Tensor:
    """Masks (..., H, W) bool -> (..., 4) float: the smallest boxes that hold all that is inside; 0 where nothing is."""
    edges = []
    for along in (inside.any(-2), inside.any(-1)):  # columns (..., W), then lines (..., H)
        length = along.shape[-1]
        position = torch.arange(length, device=along.device)
        low = torch.where(along, position, length).amin(-1)  # (...)
        high = torch.where(along, position + 1, 0).amax(-1)  # (...)
        edges.append((torch.minimum(low, high), high))
    (left, right), (top, bottom) = edges
    return torch.stack([left, top, right, bottom], dim=-1).float()


def rasterise(boxes: Tensor, height: int, width: int) -> Tensor:
    """(..., 4) -> (..., H, W) bool: a pixel is inside if its centre is. An empty box gives an empty mask."""
    x = torch.arange(width, device=boxes.device) + 0.5  # (W,)
    y = torch.arange(height, device=boxes.device) + 0.5  # (H,)
    left, top, right, bottom = boxes[..., None].unbind(-2)  # (..., 1) each
    columns, lines = (left <= x) & (x < right), (top <= y) & (y < bottom)  # (..., W), (..., H)
    return lines[..., :, None] & columns[..., None, :]
