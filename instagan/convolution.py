"""Convolutions with the parameters and results of torch's, computed the way that a CPU is fastest at.

torch leaves a convolution to oneDNN in the layout that it finds. No layout is good at everything: channels-last is
fastest forward and for the gradient of the input, for the gradient of some weights it is several times slower than the
contiguous one; and a convolution to one or three channels leaves most of a vector register empty. A network with
weights in channels-last (``network.to(memory_format=torch.channels_last)``) takes the fastest way for each of them;
on other devices, and with contiguous weights, these modules are torch's own. docs/performance.md has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

LAST, KEPT = torch.channels_last, torch.contiguous_format
FEW = 4
"""Output channels below which a convolution is cut into columns."""
CACHED = 2**19
"""Numbers that are squared at a time."""
MANY = 512
"""Output channels from which the gradient of the weight is computed in the contiguous layout."""


class Conv2d(nn.Conv2d):
    """torch's Conv2d with zero padding, without dilation and groups. (B, C, H, W) -> (B, C', H', W')."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not by_hand(input, weight):
            return super()._conv_forward(input, weight, bias)
        return convolve(input, self, weight)


class ConvTranspose2d(nn.ConvTranspose2d):
    """torch's ConvTranspose2d without dilation and groups. (B, C, h, w) -> (B, C', H, W)."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if output_size is not None or not by_hand(input, self.weight):
            return super().forward(input, output_size)
        return convolve(input, self, self.weight)


class InstanceNorm2d(nn.InstanceNorm2d):
    """torch's InstanceNorm2d without parameters and running statistics, by the fastest kernels."""

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu" or torch.compiler.is_compiling() or input.numel() == 0:
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return _InstanceNorm.apply(input, self.eps)


class ReflectionPad2d(nn.ReflectionPad2d):
    """torch's ReflectionPad2d, which keeps nothing for the gradient: torch's own keeps its input, for its shape."""

    def forward(self, input: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            return _ReflectionPad.apply(input, self.padding)


@dataclass(frozen=True)
class Activation:
    """What precedes a convolution: instance norm, ReLU (leaky with a slope above 0), reflection padding."""

    eps: float
    slope: float
    padding: tuple[int, int, int, int]

    def __call__(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, C, H, W) channels-last -> what the convolution sees; mean and scale (B, C) of the normalisation."""
        if features.dtype != torch.bfloat16:
            return self._in_place(features)
        normalised, mean, scale = _normalise(features, self.eps)
        padded = functional.pad(normalised, self.padding, mode="reflect") if any(self.padding) else normalised
        return functional.leaky_relu_(padded, self.slope), mean, scale

    def _in_place(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Written once, into the middle of where the padding is then mirrored."""
        left, right, top, bottom = self.padding
        rows, channels, height, width = features.shape
        size = rows, channels, height + top + bottom, width + left + right
        seen = torch.empty(size, dtype=features.dtype, memory_format=LAST)
        middle = seen[..., top : top + height, left : left + width]
        mean, scale = _statistics(features, self.eps)
        for row in range(rows):
            _scale(features[row : row + 1], mean[row], scale[row], middle[row : row + 1])
        functional.leaky_relu_(middle, self.slope)
        for side in range(left):
            seen[..., left - 1 - side] = seen[..., left + 1 + side]
        for side in range(right):
            seen[..., left + width + side] = seen[..., left + width - 2 - side]
        for side in range(top):
            seen[..., top - 1 - side, :] = seen[..., top + 1 + side, :]
        for side in range(bottom):
            seen[..., top + height + side, :] = seen[..., top + height - 2 - side, :]
        return seen, mean, scale

    def backward(self, gradient: Tensor, result: Tensor, features: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        gradient = torch.ops.aten.leaky_relu_backward(gradient, result, self.slope, True)
        if any(self.padding):
            gradient = _pad_backward(gradient, self.padding)
        return _normalise_backward(gradient, features, mean, scale, self.eps)


def by_hand(features: Tensor, weight: Tensor) -> bool:
    """Whether a convolution is computed by ``convolve``."""
    return (
        weight.stride(1) == 1  # channels-last, also where there is one channel and both layouts are the same bytes
        and features.device.type == "cpu"
        and features.dtype in (torch.float32, torch.bfloat16)
        and features.numel() > 0
        and not torch.compiler.is_compiling()
    )


def convolve(
    features: Tensor, layer: nn.Conv2d | nn.ConvTranspose2d, weight: Tensor, before: Activation | None = None
) -> Tensor:
    """The layer's convolution with a weight, of features or of what ``before`` makes of them. Keeps only the features.

    Under autocast in its type, like torch's own convolutions.
    """
    bias = layer.bias
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        features, weight, bias = features.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    transposed = isinstance(layer, nn.ConvTranspose2d)
    output_padding = layer.output_padding if transposed else (0, 0)
    how = layer.stride, layer.padding, (1, 1), transposed, output_padding, 1
    with torch.autocast("cpu", enabled=False):  # which would pad in float32
        return _Convolution.apply(features, weight, bias, how, before)


class _Convolution(torch.autograd.Function):
    """A convolution, or a transposed one, in channels-last."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, how: tuple[Any, ...], before: Activation | None
    ) -> Tensor:
        features = features.contiguous(memory_format=LAST)
        ctx.save_for_backward(features, weight)
        ctx.how, ctx.before = how, before
        seen = features if before is None else before(features)[0]
        if _in_columns(weight, how):
            return _by_columns(seen, weight, bias)
        return torch.convolution(seen, weight, bias, *how)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, weight = ctx.saved_tensors
        mean = scale = features
        seen = features
        if ctx.before:  # cheaper to compute again than to keep
            seen, mean, scale = ctx.before(features)
        gradient = gradient.contiguous(memory_format=LAST)
        backward = _columns_backward if _in_columns(weight, ctx.how) else _backward
        wanted = list(ctx.needs_input_grad[:3])
        to_seen, to_weight, to_bias = backward(gradient, seen, weight, ctx.how, wanted)
        if ctx.before and to_seen is not None:
            to_seen = ctx.before.backward(to_seen, seen, features, mean, scale)
        return to_seen, to_weight, to_bias, None, None


Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]
"""Of features, weight and bias."""


def _backward(
    gradient: Tensor, features: Tensor, weight: Tensor, how: tuple[Any, ...], wanted: list[bool]
) -> Gradients:
    """All three at once where channels-last is good enough for the weight's gradient, else that in its own way."""
    transposed = how[3]
    if not (wanted[1] and (transposed or gradient.shape[1] >= MANY)):
        return _torch_backward(gradient, features, weight, how, wanted)
    to_features = _torch_backward(gradient, features, weight, how, [wanted[0], False, False])[0]
    if transposed and gradient.dtype == torch.bfloat16:
        to_bias = gradient.sum((0, 2, 3), dtype=torch.float32).to(gradient.dtype) if wanted[2] else None
        return to_features, _transposed_weight_gradient(gradient, features, weight, how), to_bias
    contiguous = gradient.contiguous(), features.contiguous(), weight.contiguous()
    return to_features, *_torch_backward(*contiguous, how, [False, *wanted[1:]])[1:]


def _torch_backward(
    gradient: Tensor, features: Tensor, weight: Tensor, how: tuple[Any, ...], wanted: list[bool]
) -> Gradients:
    if not any(wanted):
        return None, None, None
    sizes = [gradient.shape[1]]
    return torch.ops.aten.convolution_backward(gradient, features, weight, sizes, *how, wanted)


def _transposed_weight_gradient(gradient: Tensor, features: Tensor, weight: Tensor, how: tuple[Any, ...]) -> Tensor:
    """As one matrix product: features (C, B h w) with what each place of the kernel made of them (B h w, k k C')."""
    (down, right), (top, left) = how[0], how[1]
    rows, channels, height, width = features.shape
    _, made, kernel_height, kernel_width = weight.shape
    image = gradient.permute(0, 2, 3, 1)  # (B, H, W, C')
    below = max(0, (height - 1) * down + kernel_height - top - image.shape[1])
    beside = max(0, (width - 1) * right + kernel_width - left - image.shape[2])
    image = functional.pad(image, (0, 0, left, beside, top, below))
    places = [
        image[:, row : row + (height - 1) * down + 1 : down, column : column + (width - 1) * right + 1 : right]
        for row in range(kernel_height)
        for column in range(kernel_width)
    ]  # k k times (B, h, w, C')
    columns = torch.cat(places, dim=3).view(rows * height * width, -1)
    product = features.permute(0, 2, 3, 1).reshape(-1, channels).T @ columns  # (C, k k C')
    return product.view(channels, kernel_height, kernel_width, made).permute(0, 3, 1, 2)


def _in_columns(weight: Tensor, how: tuple[Any, ...]) -> bool:
    stride, padding, _, transposed, _, _ = how
    return not transposed and weight.shape[0] < FEW and tuple(stride) == (1, 1) and tuple(padding) == (0, 0)


def _tall(weight: Tensor) -> Tensor:
    """A kernel's columns, each as a kernel with output channels of its own: (few, C, k, l) -> (l few, C, k, 1)."""
    few, channels, height, width = weight.shape
    return weight.permute(3, 0, 1, 2).reshape(width * few, channels, height, 1).contiguous(memory_format=LAST)


PLAIN = (1, 1), (0, 0), (1, 1), False, (0, 0), 1


def _by_columns(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A convolution to few channels: what the columns of the kernel make is shifted and added."""
    parts = torch.convolution(features, _tall(weight), None, *PLAIN).split(weight.shape[0], dim=1)
    width = features.shape[3] - weight.shape[3] + 1
    total = parts[0][..., :width].float()  # (B, few, H', W')
    for start, part in enumerate(parts[1:], 1):
        total = total + part[..., start : start + width]
    return (total if bias is None else total + bias[:, None, None]).to(features.dtype)


def _columns_backward(
    gradient: Tensor, features: Tensor, weight: Tensor, how: tuple[Any, ...], wanted: list[bool]
) -> Gradients:
    few, channels, height, width = weight.shape
    rows, _, high, wide = gradient.shape
    parts = gradient.new_zeros((rows, width * few, high, features.shape[3])).contiguous(memory_format=LAST)
    for start, part in enumerate(parts.split(few, dim=1)):
        part[..., start : start + wide] = gradient
    to_features, to_tall, _ = _torch_backward(parts, features, _tall(weight), PLAIN, [*wanted[:2], False])
    to_weight = None
    if to_tall is not None:
        to_weight = to_tall.reshape(width, few, channels, height).permute(1, 2, 3, 0)  # (few, C, k, l)
    return to_features, to_weight, gradient.sum((0, 2, 3)) if wanted[2] else None


class _InstanceNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, eps: float) -> Tensor:
        normalised, mean, scale = _normalise(features, eps)
        ctx.save_for_backward(features, mean, scale)
        ctx.eps = eps
        return normalised

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        features, mean, scale = ctx.saved_tensors
        return _normalise_backward(gradient, features, mean, scale, ctx.eps), None


def _normalise(features: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Instance norm of (B, C, H, W); mean and scale (B, C) in float32 at least."""
    rows, channels, height, width = features.shape
    if _layout(features) is KEPT:  # a group norm with groups of one channel
        sizes = rows, channels, height * width, channels
        return torch.ops.aten.native_group_norm(features, _ones(features), None, *sizes, eps)
    normalised = torch.empty_like(features)
    if features.dtype == torch.bfloat16:  # whose own rounding is far coarser than what is said below of the kernel
        ones = _ones(features)
        mean, scale = ones.new_empty((rows, channels)), ones.new_empty((rows, channels))
        for row in range(rows):
            arguments = features[row : row + 1], ones, None, None, None, True, 0.0, eps
            torch.native_batch_norm(*arguments, out=(normalised[row : row + 1], mean[row], scale[row]))
        return normalised, mean, scale
    mean, scale = _statistics(features, eps)
    for row in range(rows):
        _scale(features[row : row + 1], mean[row], scale[row], normalised[row : row + 1])
    return normalised, mean, scale


def _statistics(features: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Mean and 1 / standard deviation of every row and channel, channels-last: (B, C) each.

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
    return mean, (variance + eps).rsqrt()


def _scale(features: Tensor, mean: Tensor, scale: Tensor, out: Tensor) -> None:
    """(features - mean) * scale of one row into ``out``."""
    torch.addcmul((-mean * scale)[None, :, None, None], features, scale[None, :, None, None], out=out)


def _normalise_backward(gradient: Tensor, features: Tensor, mean: Tensor, scale: Tensor, eps: float) -> Tensor:
    """Row by row with the kernel of batch norm: that of group norm takes ten times as long in channels-last."""
    gradient = gradient.contiguous(memory_format=_layout(features))
    ones = _ones(features)
    backward = torch.ops.aten.native_batch_norm_backward
    rows = [
        backward(
            gradient[row : row + 1], features[row : row + 1], ones, None, None, mean[row], scale[row], True, eps,
            [True, False, False],
        )[0]
        for row in range(len(features))
    ]  # fmt: skip
    return rows[0] if len(rows) == 1 else torch.cat(rows)


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
        return _pad_backward(gradient, ctx.padding), None


def _pad_backward(gradient: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
    left, right, top, bottom = padding
    inner = gradient[..., top : gradient.shape[2] - bottom, left : gradient.shape[3] - right]
    like = torch.empty_like(inner, memory_format=_layout(gradient))  # never touched: its shape is what is asked for
    return torch.ops.aten.reflection_pad2d_backward(gradient, like, padding)


def _layout(features: Tensor) -> torch.memory_format:
    return LAST if features.is_contiguous(memory_format=LAST) else KEPT
