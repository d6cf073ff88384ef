"""nn.Sequential run faster: layers taken together, and the precision, recomputing and compiling of a whole sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrize import cached, is_parametrized
from torch.utils.checkpoint import checkpoint

from instagan.kernels.convolution import Conv2d, ConvTranspose2d, channels_last, convolve
from instagan.kernels.names import ALL, computable, hooked
from instagan.kernels.normalisation import Activation, InstanceNorm2d, ReflectionPad2d

GRAPHS = 256
"""Most graphs that are compiled; beyond that, stacks run uncompiled."""
SEGMENTS = 4
"""Parts that a stack is recomputed in."""
PAIR = 2
"""Rows that a CPU recomputes at a time where images are small: there two are faster than one and one (minimal
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
    halves what is kept. Layers with hooks are called one by one.
    """

    kernels = ALL

    def forward(self, input: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or "activations" not in self.kernels:
            return super().forward(input)
        return run(list(self), input)


class Stack(nn.Sequential):
    """An nn.Sequential that is in no other: runs with an ``Execution``. Rows do not depend on each other."""

    kernels = ALL
    execution = Execution()

    def forward(self, input: Tensor, chunk: int | None = None) -> Tensor:
        """(P, C, H, W) -> (P, C', H', W').

        chunk: rows that run at a time, recomputed chunk by chunk for their gradients, so that memory stays bounded.
        """
        if torch.compiler.is_compiling():
            return super().forward(input)
        return self.run_from(0, input, chunk)

    def run_from(self, first: int, features: Tensor, chunk: int | None = None) -> Tensor:
        """The layers from this index on."""
        layers = list(self)[first:]
        parametrized = [layer for layer in layers if is_parametrized(layer, "weight")]
        with cached() if any(map(hooked, parametrized)) else nullcontext():  # a layer that is called takes its weight
            weights: dict[nn.Module, Tensor] = {
                layer: layer.weight  # type: ignore[misc]  # once, in float32
                for layer in parametrized
            }
            if not self._in_parts(len(features), chunk):
                return self._run(layers, weights, features)
            for part in _segments(layers):
                rows = chunk or len(features)
                if self.execution.recompute and features.device.type == "cpu":
                    rows = min(rows, PAIR if _is_block(part[0]) else 1)
                chunks = [self._again(part, weights, each) for each in features.split(max(1, rows))]
                features = chunks[0] if len(chunks) == 1 else torch.cat(chunks)
            return features

    def autocast(self, device: str) -> AbstractContextManager[object]:
        """In the precision of this stack."""
        if self.execution.precision is None:
            return nullcontext()
        return torch.autocast(device, self.execution.precision)

    def _in_parts(self, rows: int, chunk: int | None) -> bool:
        """Whether to keep less by running parts again, which would call hooks again and batch norm with other rows."""
        if not self.execution.recompute and (chunk is None or rows <= chunk):
            return False
        return not any(hooked(module) or isinstance(module, _BatchNorm) for module in self.modules())

    def _again(self, layers: list[nn.Module], weights: dict[nn.Module, Tensor], features: Tensor) -> Tensor:
        """Keeps only the features, and runs the layers again for the gradients."""
        if not torch.is_grad_enabled():
            return self._run(layers, weights, features)
        return checkpoint(self._run, layers, weights, features, use_reentrant=False)

    def _run(self, layers: list[nn.Module], weights: dict[nn.Module, Tensor], features: Tensor) -> Tensor:
        with self.autocast(features.device.type):
            if self.execution.compiled and not weights and not any(map(hooked, self.modules())):
                torch._dynamo.maybe_mark_dynamic(features, 0)
                return _compiled()(layers, features)
            return run(layers, features, weights, "activations" in self.kernels)


def run(
    layers: Sequence[nn.Module],
    features: Tensor,
    weights: dict[nn.Module, Tensor] | None = None,
    together: bool = True,
) -> Tensor:
    """Layers one after another. weights: those that were computed already; together: what precedes a convolution."""
    weights = weights or {}
    start = 0
    while start < len(layers):
        count, before = _before_convolution(layers[start : start + 4]) if together else (0, None)
        layer = layers[start + count]
        weight = weights.get(layer)
        chosen = layer.weight if before and weight is None else weight
        if before and computable(features) and _worth_it(chosen):  # type: ignore[arg-type]
            features = convolve(features, layer, chosen, layer.bias, before)  # type: ignore[arg-type]
            start += count + 1
        else:
            layer = layers[start]
            weight = weights.get(layer)
            if weight is None or hooked(layer):
                features = layer(features)
            else:
                features = layer._conv_forward(features, weight, layer.bias)  # type: ignore
            start += 1
    return features


def _one_by_one(layers: Sequence[nn.Module], features: Tensor) -> Tensor:
    for layer in layers:
        features = layer(features)
    return features


@lru_cache(maxsize=1)
def _compiled() -> Callable[..., Tensor]:
    """One graph for each stack and for one row or more."""
    torch._dynamo.config.recompile_limit = GRAPHS
    return torch.compile(_one_by_one, dynamic=False)


def _worth_it(weight: Tensor) -> bool:
    """Whether to take a convolution and what precedes it together: to keep less, or in channels-last to copy less.

    In the contiguous layout it would hold one tensor more at its peak, for nothing where no gradients are asked for.
    """
    return channels_last(weight) or torch.is_grad_enabled()


def _before_convolution(layers: Sequence[nn.Module]) -> tuple[int, Activation | None]:
    """How many layers stand before a convolution as an ``Activation`` does, and that; 0 and None if they do not."""
    if len(layers) < 3 or not isinstance(layers[0], InstanceNorm2d) or type(layers[1]) not in (nn.ReLU, nn.LeakyReLU):
        return 0, None
    padded = isinstance(layers[2], ReflectionPad2d)
    if len(layers) < 3 + padded or not isinstance(layers[2 + padded], Conv2d | ConvTranspose2d):
        return 0, None
    if any(map(hooked, layers[: 3 + padded])):
        return 0, None
    slope = getattr(layers[1], "negative_slope", 0.0)
    return 2 + padded, Activation(layers[0].eps, slope, layers[2].padding if padded else (0, 0, 0, 0))  # type: ignore


def _is_block(layer: nn.Module) -> bool:
    """A layer made of layers. What goes into it is small enough to be kept: stacks that recompute are cut there."""
    kinds = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
    return any(isinstance(module, kinds) for module in layer.modules() if module is not layer)


def _segments(layers: list[nn.Module]) -> list[list[nn.Module]]:
    """Up to ``SEGMENTS`` parts, cut before blocks only."""
    segments: list[list[nn.Module]] = [[]]
    for place, layer in enumerate(layers):
        if place >= len(segments) * len(layers) / SEGMENTS and _is_block(layer):
            segments.append([])
        segments[-1].append(layer)
    return segments
