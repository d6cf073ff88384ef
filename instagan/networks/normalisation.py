"""Instance norm with a gradient that is right in every memory layout; batch norm over the rows of all processes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from instagan.structures.sums import Sum, current_sum


class InstanceNorm2d(nn.InstanceNorm2d):
    """torch's InstanceNorm2d without parameters and running statistics. (B, C, H, W) -> the same.

    On a CPU the gradient of torch 2.13's own is wrong for one row if it arrives in channels-last memory, as it does
    after a ``permute`` (docs/performance.md). Pixels in one line have no such layout.
    """

    def forward(self, input: Tensor) -> Tensor:
        normalised = functional.instance_norm(input.flatten(-2), eps=self.eps)  # (B, C, H W)
        return normalised.reshape(input.shape)  # (B, C, H, W)


class BatchNorm2d(nn.BatchNorm2d):
    """torch's BatchNorm2d, in training over the rows of all processes that train together. (B, C, H, W) -> the same."""

    def forward(self, input: Tensor) -> Tensor:
        add = current_sum() if self.training else None
        return super().forward(input) if add is None else self._over_all(input, add)

    def _over_all(self, input: Tensor, add: Sum) -> Tensor:
        wide = input.to(torch.promote_types(input.dtype, torch.float32))
        own_count = wide.new_full((1,), wide[:, 0].numel())
        *sums, count = add(torch.cat([wide.sum((0, 2, 3)), own_count])).split([self.num_features, 1])
        mean = sums[0] / count  # (C,)
        centred = wide - mean[:, None, None]
        variance = add(centred.square().sum((0, 2, 3))) / count  # (C,)
        with torch.no_grad():
            self._keep(mean, variance * count / (count - 1))
        normalised = centred * (variance + self.eps).rsqrt()[:, None, None]
        return (normalised * self.weight[:, None, None] + self.bias[:, None, None]).to(input)

    def _keep(self, mean: Tensor, variance: Tensor) -> None:
        """Running statistics, as torch keeps them. variance: divided by the number of values less 1."""
        for running, new in ((self.running_mean, mean), (self.running_var, variance)):
            if running is not None:
                running.lerp_(new.to(running), self.momentum or 0.0)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
