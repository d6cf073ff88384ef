"""Instance norm with a gradient that is right in every memory layout."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class InstanceNorm2d(nn.InstanceNorm2d):
    """torch's InstanceNorm2d without parameters and running statistics. (B, C, H, W) -> the same.

    On a CPU the gradient of torch 2.13's own is wrong for one row if it arrives in channels-last memory, as it does
    after a ``permute`` (docs/performance.md). Pixels in one line have no such layout.
    """

    def forward(self, input: Tensor) -> Tensor:
        normalised = functional.instance_norm(input.flatten(-2), eps=self.eps)  # (B, C, H W)
        return normalised.reshape(input.shape)  # (B, C, H, W)
