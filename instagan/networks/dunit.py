"""DUNIT's instance branch: objects are encoded and stylised by themselves, and their features are pasted into those of
the scene, from which one image is decoded (Bhattacharjee, Kim, Vizier, Salzmann, DUNIT: Detection-Based Unsupervised
Image-to-Image Translation, CVPR 2020). The scene's networks are DRIT's in feature-wise mode.

Letters: B scenes, P objects of all scenes, s side of an object's square crop in pixels, S numbers of a style,
C = 4 ngf channels of a feature map, h x w cells of a scene's feature map, u x v = s/4 x s/4 of an object's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from instagan.networks.drit import STRIDE, ContentStem, FeatureWiseDecoder
from instagan.networks.roi_align import roi_align
from instagan.structures.boxes import area
from instagan.structures.instances import InstanceBatch

CROP = 64
"""Side in pixels that an object is brought to."""


@dataclass(frozen=True, eq=False)
class Objects:
    """Which objects there are in a batch of scenes. owner (P,) long: the scene of each; boxes (P, 4) in its pixels."""

    owner: Tensor
    boxes: Tensor

    @classmethod
    def of(cls, scenes: InstanceBatch) -> Objects:
        """The present instances of the scenes."""
        owner, slot = scenes.instances()
        return cls(owner, scenes.boxes[owner, slot])

    def __len__(self) -> int:
        """P."""
        return len(self.owner)

    def crops(self, images: Tensor, side: int = CROP) -> Tensor:
        """What images (B, 3, H, W) show there, each brought to a square: (P, 3, s, s), with gradients."""
        return roi_align(images, self.owner, self.boxes, (side, side))


class InstanceEncoder(ContentStem):
    """Content of objects: (P, 3, s, s) in [-1, 1] -> (P, C, u, v). As DRIT's of scenes, without the layers that domains
    share and without noise. 3,918,976 parameters at ngf 64."""


class InstanceBlocks(nn.Module):
    """Content of objects (P, C, u, v) and their scenes' styles (P, S) -> stylised features (P, C, u, v).

    As the first part of DRIT's decoder, which makes the scene's: a vector from the style for each of four residual
    blocks. 8,203,776 parameters at ngf 64 and with styles of 8 numbers.
    """

    def __init__(self, ngf: int = 64, style_size: int = 8) -> None:
        super().__init__()
        decoder = FeatureWiseDecoder(ngf, style_size)
        self.mlp, self.blocks = decoder.mlp, decoder.blocks

    def forward(self, content: Tensor, styles: Tensor) -> Tensor:
        return stylised(self, content, styles)


def stylised(networks: InstanceBlocks | FeatureWiseDecoder, content: Tensor, styles: Tensor) -> Tensor:
    """Content (R, C, h, w) after the residual blocks that a style (R, S) drives: (R, C, h, w)."""
    vectors = networks.mlp(styles).chunk(len(networks.blocks), dim=1)  # (R, C) for each block
    for block, vector in zip(networks.blocks, vectors, strict=True):
        content = block(content, vector)  # (R, C, h, w)
    return content


def paste(scenes: Tensor, objects: Objects, features: Tensor) -> Tensor:
    """The scenes' features (B, C, h, w) with those of their objects (P, C, u, v) in the place of their boxes.

    A box is brought to cells, rounded outward, of which it holds one at least; the object's features are resized to it
    bilinearly. A smaller object lies over a larger one. What of a box is outside of the scene is not seen.
    """
    if not len(objects):
        return scenes
    of_cell, y, x = _seen(objects, scenes.shape)  # (B, h, w) each
    covered = of_cell >= 0
    pasted = _at(features, of_cell.clamp(min=0), y, x)  # (B, C, h, w)
    return torch.where(covered[:, None], pasted.to(scenes.dtype), scenes)


def cells_of(boxes: Tensor) -> Tensor:
    """Boxes (P, 4) in pixels -> (P, 4) in whole cells of a feature map, rounded outward, at least one cell each."""
    low, high = (boxes[:, :2] / STRIDE).floor(), (boxes[:, 2:] / STRIDE).ceil()
    return torch.cat([low, torch.maximum(high, low + 1)], dim=1)


def _seen(objects: Objects, size: torch.Size) -> tuple[Tensor, Tensor, Tensor]:
    """For every cell of the scenes the object that is seen there, -1 for none, and where in its features the cell's
    middle lies, in shares of their height and width. (B, h, w) each."""
    rows, _, height, width = size
    left, top, right, bottom = cells_of(objects.boxes.detach())[:, :, None, None].unbind(1)  # (P, 1, 1) each
    y = torch.arange(height, device=left.device)[:, None] + 0.5  # (h, 1)
    x = torch.arange(width, device=left.device) + 0.5  # (w,)
    inside = (left < x) & (x < right) & (top < y) & (y < bottom)  # (P, h, w)
    on_top = area(objects.boxes.detach()).argsort(descending=True, stable=True)  # (P,): what is pasted later covers
    place = torch.empty_like(on_top).scatter(0, on_top, torch.arange(len(on_top), device=on_top.device))  # (P,)
    own = objects.owner == torch.arange(rows, device=left.device)[:, None]  # (B, P)
    shown = torch.where(own[:, :, None, None] & inside, place[:, None, None], -1).amax(1)  # (B, h, w)
    of_cell = torch.where(shown >= 0, on_top[shown.clamp(min=0)], -1)  # (B, h, w)
    y_of, x_of = (y - top) / (bottom - top), (x - left) / (right - left)  # (P, h, 1), (P, 1, w)
    lines, columns = (torch.arange(side, device=left.device) for side in (height, width))
    chosen = of_cell.clamp(min=0)
    return of_cell, y_of[chosen, lines[:, None], 0], x_of[chosen, 0, columns]


def _at(features: Tensor, number: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Bilinear values of maps (P, C, u, v), of the one of this number, at points y, x in shares of its sides; number, y
    and x (B, h, w) -> (B, C, h, w). As when a map is resized, beyond the middle of its outer cells is the edge."""
    height, width = features.shape[2:]
    y = (y * height - 0.5).clamp(0, height - 1).to(features)
    x = (x * width - 0.5).clamp(0, width - 1).to(features)
    upper, before = y.floor().long(), x.floor().long()
    lower, behind = (upper + 1).clamp(max=height - 1), (before + 1).clamp(max=width - 1)
    down, across = (y - upper)[..., None], (x - before)[..., None]  # (B, h, w, 1)
    lines = (
        features[number, :, line, before] * (1 - across) + features[number, :, line, behind] * across
        for line in (upper, lower)
    )
    above, below = lines  # (B, h, w, C) each
    return (above * (1 - down) + below * down).permute(0, 3, 1, 2).contiguous()  # (B, C, h, w)
