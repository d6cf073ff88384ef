"""RoIAlign: regions of a feature map, cut out at sub-pixel positions and brought to one size (He et al., Mask R-CNN,
ICCV 2017). In plain torch, with gradients to the features."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

Neighbour = tuple[Tensor, Tensor]
"""Along one axis, for every point of every region: the index of a cell next to it, and that cell's weight."""


def roi_align(
    features: Tensor,
    owner: Tensor,
    boxes: Tensor,
    size: tuple[int, int],
    scale: float = 1.0,
    samples: int = 2,
    aligned: bool = True,
) -> Tensor:
    """Features (B, C, h, w) and K regions of them -> (K, C, height, width), for ``size`` (height, width).

    owner    (K,) long: the row of the features that each region is cut from
    boxes    (K, 4) left, top, right, bottom in pixels of the picture; no gradient flows to them
    scale    from pixels of the picture to cells of the features: 1/4 for features at a quarter of its size
    samples  each cell of the result is the mean of samples x samples points, which are interpolated bilinearly
    aligned  a feature stands for the middle of its cell; False: for its corner, and a region is at least 1 cell wide
             and high, as in the first version

    A point up to one cell outside of the features takes the value at their edge, a point further outside is 0.
    """
    left, top, right, bottom = (boxes.detach() * scale - (0.5 if aligned else 0.0)).unbind(1)  # (K,) each
    across, down = right - left, bottom - top
    if not aligned:
        across, down = across.clamp(min=1), down.clamp(min=1)
    (height, width), (cells_down, cells_across) = size, features.shape[2:]
    of_y = _neighbours(_points(top, down, height * samples), cells_down)
    of_x = _neighbours(_points(left, across, width * samples), cells_across)
    weighted = (
        features[owner[:, None, None], :, y[:, :, None], x[:, None, :]]  # (K, height * samples, width * samples, C)
        * (weight_y[:, :, None] * weight_x[:, None, :])[..., None].to(features.dtype)
        for y, weight_y in of_y
        for x, weight_x in of_x
    )
    points = reduce(torch.add, weighted)  # (K, height * samples, width * samples, C)
    cells = points.unflatten(2, (width, samples)).unflatten(1, (height, samples)).mean((2, 4))  # (K, height, width, C)
    return cells.permute(0, 3, 1, 2).contiguous()  # (K, C, height, width)


def roi_align_slots(
    features: Tensor, boxes: Tensor, there: Tensor, size: tuple[int, int], scale: float = 1.0
) -> Tensor:  # fmt: skip
    """Regions of every picture, in slots: features (B, C, h, w), boxes (B, N, 4) -> (B, N, C, height, width).

    there (B, N) bool: other slots give zeros. The rest is as in ``roi_align`` with ``aligned`` off, but for the number
    of samples, which is torchvision's default: along each axis as many as a region has cells of the features for each
    cell of the result, rounded up. A region is not longer than the features.

    Every cell of the result is a weighted mean of lines and columns, so that the samples themselves are never held.
    """
    left, top, right, bottom = (boxes.detach() * scale).unbind(2)  # (B, N) each
    of_lines = _shares(top, bottom - top, size[0], features.shape[2]) * there[..., None, None]  # (B, N, height, h)
    of_columns = _shares(left, right - left, size[1], features.shape[3])  # (B, N, width, w)
    lines = torch.einsum("bnih,bchw->bnicw", of_lines.to(features), features)  # (B, N, height, C, w)
    return torch.einsum("bnicw,bnjw->bncij", lines, of_columns.to(features))  # (B, N, C, height, width)


def _shares(start: Tensor, length: Tensor, parts: int, cells: int) -> Tensor:
    """What each of the cells along an axis adds to each part of every stretch: (B, N) each -> (B, N, parts, cells)."""
    most = -(-cells // parts)
    part = (length.clamp(min=1) / parts)[..., None, None]  # (B, N, 1, 1)
    count = part.ceil().clamp(max=most)  # (B, N, 1, 1): samples of a part
    sample = torch.arange(most, dtype=start.dtype, device=start.device)  # (most,)
    number = torch.arange(parts, dtype=start.dtype, device=start.device)[:, None]  # (parts, 1)
    points = start[..., None, None] + part * (number + (sample + 0.5) / count)  # (B, N, parts, most)
    counted = (sample < count) & (points >= -1) & (points <= cells)
    away = points.clamp(0, cells - 1)[..., None] - torch.arange(cells, dtype=start.dtype, device=start.device)
    weights = (1 - away.abs()).clamp(min=0) * counted[..., None]  # (B, N, parts, most, cells)
    return weights.sum(3) / count  # (B, N, parts, cells)


def _points(start: Tensor, length: Tensor, count: int) -> Tensor:
    """``count`` points, evenly spread over each of K stretches (K,) -> (K, count)."""
    steps = (torch.arange(count, dtype=start.dtype, device=start.device) + 0.5) / count  # (count,)
    return start[:, None] + length[:, None] * steps  # (K, count)


def _neighbours(points: Tensor, cells: int) -> tuple[Neighbour, Neighbour]:
    """The cell before and the cell behind each point (K, n) of an axis with so many cells, and their weights (K, n)."""
    within = (points >= -1) & (points <= cells)
    inside = points.clamp(0, cells - 1)
    before = inside.floor().long()
    behind = (before + 1).clamp(max=cells - 1)
    share = inside - before  # 0 where there is no cell behind
    return (before, (1 - share) * within), (behind, share * within)
