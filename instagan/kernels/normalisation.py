"""Instance norm and reflection padding for a CPU, alone and together with the ReLU between them.

torch has several implementations of the same thing. Each of these modules takes the one that is fastest, and exact
enough, for the memory layout at hand. docs/performance.md has the figures.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from instagan.kernels.names import ALL

LAST, KEPT = torch.channels_last, torch.contiguous_format
CACHED = 2**19
"""Numbers that are squared at a time."""


class InstanceNorm2d(nn.InstanceNorm2d):
    """Instance norm without parameters and running statistics. (B, C, H, W) -> the same."""

    kernels = ALL

    def forward(self, input: Tensor) -> Tensor:
        away = input.device.type != "cpu" or torch.compiler.is_compiling()
        if away or input.ndim != 4 or input.numel() == 0 or "normalisation" not in self.kernels:
            return super().forward(input)
        with without_autocast("cpu"):
            return _InstanceNorm.apply(input, self.eps)


class ReflectionPad2d(nn.ReflectionPad2d):
    """Reflection padding that keeps nothing for its gradient: torch's own keeps its input, for its shape."""

    kernels = ALL

    def forward(self, input: Tensor) -> Tensor:
        away = torch.compiler.is_compiling() or not torch.is_grad_enabled()
        if away or input.ndim != 4 or "padding" not in self.kernels:
            return super().forward(input)
        with without_autocast(input.device.type):
            return _ReflectionPad.apply(input, self.padding)


def without_autocast(kind: str) -> AbstractContextManager[object]:
    """A context in which operations keep the type of their inputs. Costs nothing where autocast is off already."""
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()


@dataclass(frozen=True)
class Statistics:
    """Of every row and channel, (B, C) each, in float32 at least."""

    mean: Tensor
    scale: Tensor  # 1 / standard deviation


@dataclass(frozen=True)
class Activation:
    """What comes before a convolution: instance norm, ReLU (leaky with a slope above 0), reflection padding.

    Its gradient is taken in three steps, so that no tensor is kept longer than it is needed.
    """

    eps: float
    slope: float
    padding: tuple[int, int, int, int]

    def __call__(self, features: Tensor, known: Statistics | None = None) -> tuple[Tensor, Statistics]:
        """(B, C, H, W) -> input of the convolution, larger by the padding; the statistics, unless ``known``."""
        if features.dtype != torch.bfloat16 and _layout(features) is LAST:
            return self._in_place(features, known)
        normalised, known = _normalise(features, self.eps, known)
        padded = functional.pad(normalised, self.padding, mode="reflect") if any(self.padding) else normalised
        return functional.leaky_relu_(padded, self.slope), known

    def _in_place(self, features: Tensor, known: Statistics | None) -> tuple[Tensor, Statistics]:
        """Written once, into the middle of the padded tensor, whose borders are then mirrored."""
        left, right, top, bottom = self.padding
        rows, channels, height, width = features.shape
        size = rows, channels, height + top + bottom, width + left + right
        padded = torch.empty(size, dtype=features.dtype, memory_format=LAST)
        middle = padded[..., top : top + height, left : left + width]
        known = _statistics(features, self.eps) if known is None else known
        _scale(features, known, middle)
        functional.leaky_relu_(middle, self.slope)
        for side in range(left):
            padded[..., left - 1 - side] = padded[..., left + 1 + side]
        for side in range(right):
            padded[..., left + width + side] = padded[..., left + width - 2 - side]
        for side in range(top):
            padded[..., top - 1 - side, :] = padded[..., top + 1 + side, :]
        for side in range(bottom):
            padded[..., top + height + side, :] = padded[..., top + height - 2 - side, :]
        return padded, known

    def rectify_backward(self, gradient: Tensor, padded: Tensor) -> Tensor:
        """Gradient before the ReLU from that after it, in place."""
        backward = torch.ops.aten.leaky_relu_backward.grad_input
        return backward(gradient, padded, self.slope, True, grad_input=gradient)

    def pad_backward(self, gradient: Tensor, features: Tensor) -> Tensor:
        return _pad_backward(gradient, features, self.padding) if any(self.padding) else gradient

    def normalise_backward(self, gradient: Tensor, features: Tensor, known: Statistics) -> Tensor:
        return _normalise_backward(gradient, features, known, self.eps)


class _InstanceNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, eps: float) -> Tensor:
        features = features.contiguous(memory_format=_layout(features))
        normalised, known = _normalise(features, eps)
        ctx.save_for_backward(features, known.mean, known.scale)
        ctx.eps = eps
        return normalised

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        features, mean, scale = ctx.saved_tensors
        return _normalise_backward(gradient, features, Statistics(mean, scale), ctx.eps), None


def _normalise(features: Tensor, eps: float, known: Statistics | None = None) -> tuple[Tensor, Statistics]:
    """Instance norm of (B, C, H, W)."""
    rows, channels = features.shape[:2]
    if _layout(features) is KEPT:
        groups = _groups(features)
        normalised, mean, scale = torch.ops.aten.native_group_norm(features, _ones(features), None, *groups, eps)
        return normalised, known or Statistics(mean, scale)
    normalised = torch.empty_like(features)
    if features.dtype != torch.bfloat16:
        known = _statistics(features, eps) if known is None else known
    elif known is None:  # the rounding of bfloat16 is far coarser than what is said below of the kernel
        ones = _ones(features)
        known = Statistics(ones.new_empty((rows, channels)), ones.new_empty((rows, channels)))
        for row in range(rows):
            arguments = features[row : row + 1], ones, None, None, None, True, 0.0, eps
            torch.native_batch_norm(*arguments, out=(normalised[row : row + 1], known.mean[row], known.scale[row]))
        return normalised, known
    _scale(features, known, normalised)
    return normalised, known


def _statistics(features: Tensor, eps: float) -> Statistics:
    """In channels-last.

    The kernels of batch and group norm add all pixels up one after the other here, which for the large even areas of
    masks is up to a hundred times less exact than torch's sum.
    """
    rows, channels, height, width = features.shape
    mean = features.mean((2, 3))  # (B, C)
    squares = torch.zeros_like(mean)
    lines = max(1, CACHED // (channels * width))
    for row in range(rows):
        for some in features[row].split(lines, dim=1):
            squares[row] += some.square().sum((1, 2))
    variance = (squares / (height * width) - mean.square()).clamp(min=0)
    return Statistics(mean, (variance + eps).rsqrt())


def _scale(features: Tensor, known: Statistics, out: Tensor) -> None:
    """(features - mean) * scale in channels-last into ``out``."""
    shift = -known.mean * known.scale
    if features.dtype != torch.bfloat16:
        for row, (one, made) in enumerate(zip(features, out, strict=True)):
            torch.addcmul(shift[row, :, None, None], one, known.scale[row, :, None, None], out=made)
        return
    zeros, ones, none = torch.zeros_like(shift[0]), torch.ones_like(shift[0]), shift.new_empty(0)
    for row in range(len(features)):  # by batch norm with these statistics of 0 and 1, which computes in float32
        arguments = features[row : row + 1], known.scale[row], shift[row], zeros, ones, False, 0.0, 0.0
        torch.native_batch_norm(*arguments, out=(out[row : row + 1], none, none))


def _normalise_backward(gradient: Tensor, features: Tensor, known: Statistics, eps: float) -> Tensor:
    """In channels-last row by row with the kernel of batch norm: that of group norm takes ten times as long there."""
    layout, ones = _layout(features), _ones(features)
    gradient = gradient.contiguous(memory_format=layout)
    if layout is KEPT:
        backward = torch.ops.aten.native_group_norm_backward
        groups = _groups(features)
        return backward(gradient, features, known.mean, known.scale, ones, *groups, [True, False, False])[0]

    def of(row: int) -> Tensor:
        saved = None, None, known.mean[row], known.scale[row], True, eps, [True, False, False]
        one = slice(row, row + 1)
        return torch.ops.aten.native_batch_norm_backward(gradient[one], features[one], ones, *saved)[0]

    if len(features) == 1:
        return of(0)
    result = torch.empty_like(features)
    for row in range(len(features)):
        result[row : row + 1] = of(row)
    return result


def _groups(features: Tensor) -> tuple[int, int, int, int]:
    """Instance norm for the kernels of group norm: rows, channels, pixels, and as many groups as channels."""
    rows, channels, height, width = features.shape
    return rows, channels, height * width, channels


def _ones(features: Tensor) -> Tensor:
    """A weight of ones: with one in float32, kernels take statistics of bfloat16 in float32."""
    return torch.ones(features.shape[1], dtype=torch.promote_types(features.dtype, torch.float32))


class _ReflectionPad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
        ctx.padding = padding
        return functional.pad(features, padding, mode="reflect")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        left, right, top, bottom = ctx.padding
        inner = gradient[..., top : gradient.shape[2] - bottom, left : gradient.shape[3] - right]
        like = torch.empty_like(inner, memory_format=_layout(gradient))  # never touched
        return _pad_backward(gradient, like, ctx.padding), None


def _pad_backward(gradient: Tensor, like: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
    """like: anything of the shape and layout of what was padded, whose values do not matter."""
    return torch.ops.aten.reflection_pad2d_backward(gradient, like, padding)


def _layout(features: Tensor) -> torch.memory_format:
    return LAST if features.is_contiguous(memory_format=LAST) else KEPT
