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
