"""Layers that run one after another, and how they run: precision, and what is kept for the gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.utils.checkpoint import checkpoint

from instagan.kernels.convolution import Conv2d, ConvTranspose2d, by_hand, channels_last, convolve
from instagan.kernels.normalisation import Activation, InstanceNorm2d, ReflectionPad2d

GRAPHS = 256
"""Most graphs that are compiled; beyond that, stacks run uncompiled."""
PAIR = 2
"""Rows that a CPU recomputes at a time where pictures are small: there two are faster than one and one (minimal
filtering). At full size one row keeps all cores busy, and it is there that memory is highest."""


@dataclass(frozen=True)
class Execution:
    """How stacks run.

    precision   dtype of autocast (bfloat16, float16), None: that of the weights. Normalisation takes its statistics in
                float32, and spectrally normalised weights are computed in float32
    recompute   keep only what goes into a segment of a stack, and run it again for its gradients (activation
                checkpointing)
    compiled    by torch.compile, but for spectrally normalised stacks; the number of rows is left open
    """

    precision: torch.dtype | None = None
    recompute: bool = False
    compiled: bool = False


class Chain(nn.Sequential):
    """nn.Sequential that takes normalisation, ReLU, padding and the convolution after them together where it can.

    What comes between two convolutions is then computed again for the gradients, which costs next to nothing and
    halves what is kept.
    """

    def forward(self, features: Tensor) -> Tensor:
        return run(list(self), features)


class Block(nn.Module):
    """A layer made of layers. What goes into it is small enough to be kept: stacks that recompute are cut there."""


class Stack(nn.Sequential):
    """nn.Sequential with an ``Execution``. (P, C, H, W) -> (P, C', H', W'); rows do not depend on each other."""

    execution = Execution()

    def forward(self, features: Tensor, chunk: int | None = None) -> Tensor:
        """chunk: rows that are run at a time, each lot recomputed for its gradients, so that memory stays bounded."""
        return self._through(list(self), features, chunk)

    def _through(self, layers: list[nn.Module], features: Tensor, chunk: int | None = None) -> Tensor:
        weights: dict[nn.Module, Tensor] = {  # computed once, in float32
            layer: layer.weight  # type: ignore[misc]
            for layer in layers
            if is_parametrized(layer, "weight")
        }
        recompute = self.execution.recompute
        if not recompute and (chunk is None or len(features) <= chunk):
            return self._run(layers, weights, features)
        for part in _segments(layers):
            rows = chunk or len(features)
            if recompute and features.device.type == "cpu":
                rows = min(rows, PAIR if isinstance(part[0], Block) else 1)
            lots = [self._again(part, weights, lot) for lot in features.split(max(1, rows))]
            features = lots[0] if len(lots) == 1 else torch.cat(lots)
        return features

    def _again(self, layers: list[nn.Module], weights: dict[nn.Module, Tensor], features: Tensor) -> Tensor:
        """Keeps only the features, and runs the layers again for the gradients."""
        if not torch.is_grad_enabled():
            return self._run(layers, weights, features)
        return checkpoint(self._run, layers, weights, features, use_reentrant=False)

    def _run(self, layers: list[nn.Module], weights: dict[nn.Module, Tensor], features: Tensor) -> Tensor:
        with self._precision(features.device.type):
            if not self.execution.compiled or weights:
                return run(layers, features, weights)
            torch._dynamo.maybe_mark_dynamic(features, 0)
            return _compiled()(layers, features)

    def _precision(self, device: str) -> AbstractContextManager[object]:
        if self.execution.precision is None:
            return nullcontext()
        return torch.autocast(device, self.execution.precision)


def execute(network: nn.Module, execution: Execution) -> None:
    """Sets how all stacks of a network run."""
    for module in network.modules():
        if isinstance(module, Stack):
            module.execution = execution


def run(layers: Sequence[nn.Module], features: Tensor, weights: dict[nn.Module, Tensor] | None = None) -> Tensor:
    """Layers one after another; weights: those that were computed already."""
    weights = weights or {}
    start = 0
    while start < len(layers):
        count, before = _before_convolution(layers[start : start + 4])
        layer = layers[start + count]
        weight = weights.get(layer)
        chosen = layer.weight if before and weight is None else weight
        if before and by_hand(features) and _worth_it(chosen):  # type: ignore[arg-type]
            features = convolve(features, layer, chosen, layer.bias, before)  # type: ignore[arg-type]
            start += count + 1
        else:
            layer = layers[start]
            weight = weights.get(layer)
            features = layer(features) if weight is None else layer._conv_forward(features, weight, layer.bias)  # type: ignore
            start += 1
    return features


def _worth_it(weight: Tensor) -> bool:
    """Whether to take a convolution and what precedes it together: to keep less, or in channels-last to copy less.

    In the contiguous layout it would hold one tensor more at its peak, for nothing where no gradients are asked for.
    """
    return channels_last(weight) or torch.is_grad_enabled()


@lru_cache(maxsize=1)
def _compiled() -> Callable[..., Tensor]:
    """``run``, one graph for each stack and for one row or more."""
    torch._dynamo.config.recompile_limit = GRAPHS
    return torch.compile(run, dynamic=False)


def _before_convolution(layers: Sequence[nn.Module]) -> tuple[int, Activation | None]:
    """How many layers stand before a convolution as an ``Activation`` does, and that; 0 and None if they do not."""
    kinds = [type(layer) for layer in layers]
    if len(layers) < 3 or kinds[0] is not InstanceNorm2d or kinds[1] not in (nn.ReLU, nn.LeakyReLU):
        return 0, None
    padded = kinds[2] is ReflectionPad2d
    if len(layers) < 3 + padded or not isinstance(layers[2 + padded], Conv2d | ConvTranspose2d):
        return 0, None
    slope = getattr(layers[1], "negative_slope", 0.0)
    return 2 + padded, Activation(layers[0].eps, slope, layers[2].padding if padded else (0, 0, 0, 0))  # type: ignore


def _segments(layers: list[nn.Module], count: int = 4) -> list[list[nn.Module]]:
    """Up to ``count`` parts, cut before blocks only."""
    segments: list[list[nn.Module]] = [[]]
    for place, layer in enumerate(layers):
        if place >= len(segments) * len(layers) / count and isinstance(layer, Block):
            segments.append([])
        segments[-1].append(layer)
    return segments
