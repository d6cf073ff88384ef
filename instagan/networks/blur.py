"""Resampling without aliasing (Zhang, ICML 2019): a picture is blurred where its resolution changes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class BlurDownsample(nn.Module):
    """Halves height and width, rounding up: (B, C, h, w) -> (B, C, ceil(h / 2), ceil(w / 2)).

    Every channel is filtered with [1, 2, 1] / 4 in both directions, over a border that is reflected by one pixel, and
    every second pixel is kept. h and w must be 2 or more.
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        weights = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", torch.outer(weights, weights)[None, None], persistent=False)  # (1, 1, 3, 3)

    def forward(self, features: Tensor) -> Tensor:
        channels = features.shape[1]
        padded = functional.pad(features, (1, 1, 1, 1), mode="reflect")  # (B, C, h + 2, w + 2)
        return functional.conv2d(padded, self.kernel.expand(channels, -1, -1, -1), stride=2, groups=channels)


class BlurUpsample(nn.Upsample):
    """Doubles height and width: (B, C, h, w) -> (B, C, 2 h, 2 w).

    Zeros between the pixels, filtered with [1, 3, 3, 1] / 4 in both directions over a repeated border, are the same
    numbers as bilinear interpolation.
    """

    def __init__(self) -> None:
        super().__init__(scale_factor=2, mode="bilinear", align_corners=False)
