"""Convolutions with the parameters and results of torch's, computed in the way that is fastest on a CPU.

torch leaves a convolution to oneDNN in the layout that it finds. No layout is good at everything: channels-last is
fastest forward and for the gradient of the input of wide networks, for the gradient of some weights it is several times
slower than the contiguous one; and a convolution to one or three channels leaves most of a vector register empty in
both. Where many channels meet a large image, multiplications can be saved. The layout is that of the weights
(``network.to(memory_format=torch.channels_last)``); in each, these modules take the fastest way. On other devices they
are torch's own. docs/performance.md has the figures.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from instagan.kernels import minimal_filtering
from instagan.kernels.names import ALL, computable
from instagan.kernels.normalisation import KEPT, LAST, Activation, Statistics, without_autocast

FEW = 4
"""Output channels below which a convolution is cut into columns."""
WIDE, WIDE_ENOUGH = 64, 8
"""Filters of a network's first layer (``ngf``) from which channels-last is the better layout on a CPU: for training in
float32, and for everything else."""
MANY = 512
"""Output channels from which the gradient of the weight is computed in the contiguous layout."""
MANY_TO_MANY, LARGE = 256, 2000
"""Channels on both sides, and places of the input in all rows, from which multiplications are worth saving."""


class Conv2d(nn.Conv2d):
    """Conv2d with zero padding, without dilation and groups. (B, C, H, W) -> (B, C', H', W')."""

    kernels = ALL

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if computable(input) and _way(self, input, weight):
            return convolve(input, self, weight, bias)
        return super()._conv_forward(input, weight, bias)


class ConvTranspose2d(nn.ConvTranspose2d):
    """ConvTranspose2d without dilation and groups. (B, C, h, w) -> (B, C', H, W)."""

    kernels = ALL

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if output_size is not None:
            return super().forward(input, output_size)
        return self._conv_forward(input, self.weight, self.bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if computable(input) and _way(self, input, weight):
            return convolve(input, self, weight, bias)
        how = self.stride, self.padding, self.output_padding
        return functional.conv_transpose2d(input, weight, bias, *how)  # type: ignore[arg-type]

    def of_parts(self, *parts: Tensor) -> list[Tensor]:
        """What each part of the input's channels (R, C_i, h, w) contributes, (R, C', H, W); their sum is the result.

        Parts may have different numbers of rows R. The bias is in the last.
        """
        weights = self.weight.split([part.shape[1] for part in parts])
        biases = [None] * (len(parts) - 1) + [self.bias]
        return [self._conv_forward(*each) for each in zip(parts, weights, biases, strict=True)]


def channels_last(weight: Tensor) -> bool:
    """Also true where there is one channel, and both layouts are the same bytes."""
    return weight.stride(1) == 1


def convolve(
    features: Tensor,
    layer: Conv2d | ConvTranspose2d,
    weight: Tensor,
    bias: Tensor | None,
    before: Activation | None = None,
) -> Tensor:
    """A layer's convolution with this weight, of features or of what ``before`` makes of them. Keeps only the features.

    Under autocast in its type, like torch's own convolutions.
    """
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        features, weight, bias = features.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    with without_autocast("cpu"):  # which would pad in float32
        return _Convolution.apply(features, weight, bias, _arguments(layer), before, layer)


def _arguments(layer: Conv2d | ConvTranspose2d) -> tuple[Any, ...]:
    """Those of torch.convolution after the bias."""
    transposed = isinstance(layer, nn.ConvTranspose2d)
    return layer.stride, layer.padding, (1, 1), transposed, layer.output_padding if transposed else (0, 0), 1


def _way(layer: Conv2d | ConvTranspose2d, features: Tensor, weight: Tensor) -> str:
    """The kernel that computes a convolution of these features; "" for torch's own.

    features: what the convolution itself sees, padding included.
    """
    how = _arguments(layer)
    if "columns" in layer.kernels and _few_channels(weight, how):
        return "columns"
    if "minimal_filtering" in layer.kernels and _many_channels(features, weight, how):
        return "minimal_filtering"
    return "weight_gradients" if "weight_gradients" in layer.kernels and channels_last(weight) else ""


class _Convolution(torch.autograd.Function):
    """A convolution, or a transposed one, in the layout of its weight."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        how: tuple[Any, ...],
        before: Activation | None,
        layer: Conv2d | ConvTranspose2d,
    ) -> Tensor:
        features = features.contiguous(memory_format=_layout(weight))
        input = features
        known: tuple[Tensor, ...] = ()
        if before:
            input, statistics = before(features)
            known = statistics.mean, statistics.scale
        ctx.how, ctx.before, ctx.way = how, before, _way(layer, input, weight)
        ctx.save_for_backward(features, weight, *known)
        if ctx.way == "columns":
            return _by_columns(input, weight, bias)
        if ctx.way == "minimal_filtering":
            return minimal_filtering.convolve(input, weight, bias)
        return torch.convolution(input, weight, bias, *how)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, *known = ctx.saved_tensors
        input = features
        if ctx.before:  # cheaper to compute again than to keep
            input, _ = ctx.before(features, Statistics(*known))
        gradient = gradient.contiguous(memory_format=_layout(weight))
        wanted = list(ctx.needs_input_grad[:3])
        if ctx.way == "minimal_filtering":
            to_input, to_weight, to_bias = minimal_filtering.backward(gradient, input, weight, wanted)
        else:
            backward = {"columns": _columns_backward, "weight_gradients": _backward}.get(ctx.way, _torch_backward)
            to_input, to_weight, to_bias = backward(gradient, input, weight, ctx.how, wanted)
        if ctx.before and to_input is not None:
            to_input = ctx.before.rectify_backward(to_input, input)
            del input
            to_input = ctx.before.pad_backward(to_input, features)
            to_input = ctx.before.normalise_backward(to_input, features, Statistics(*known))
        return to_input, to_weight, to_bias, None, None, None


Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]
"""Of features, weight and bias."""


def _backward(
    gradient: Tensor, features: Tensor, weight: Tensor, how: tuple[Any, ...], wanted: list[bool]
) -> Gradients:
    """In channels-last: all three at once where that is good enough for the weight's gradient, else that by itself."""
    transposed = how[3]
    if not (wanted[1] and (transposed or gradient.shape[1] >= MANY)):
        return _torch_backward(gradient, features, weight, how, wanted)
    to_features = _torch_backward(gradient, features, weight, how, [wanted[0], False, False])[0]
    if transposed and gradient.dtype == torch.bfloat16:
        to_bias = gradient.sum((0, 2, 3)) if wanted[2] else None
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


def _few_channels(weight: Tensor, how: tuple[Any, ...]) -> bool:
    """Whether to cut a convolution into columns: few output channels, steps of one, no padding."""
    return weight.shape[0] < FEW and how == PLAIN


def _many_channels(features: Tensor, weight: Tensor, how: tuple[Any, ...]) -> bool:
    """Whether to save multiplications: 3x3 in steps of one, without padding, many channels on a large image."""
    return (
        features.dtype == torch.float32
        and weight.shape[2:] == (3, 3)
        and how == PLAIN
        and channels_last(weight)
        and min(weight.shape[:2]) >= MANY_TO_MANY
        and features.shape[0] * features.shape[2] * features.shape[3] >= LARGE
    )


def _tall(weight: Tensor) -> Tensor:
    """A kernel's columns, each as a kernel with output channels of its own: (few, C, k, l) -> (l few, C, k, 1)."""
    few, channels, height, width = weight.shape
    tall = weight.permute(3, 0, 1, 2).reshape(width * few, channels, height, 1)
    return tall.contiguous(memory_format=_layout(weight))


def _layout(weight: Tensor) -> torch.memory_format:
    return LAST if channels_last(weight) else KEPT


PLAIN = (1, 1), (0, 0), (1, 1), False, (0, 0), 1
"""Arguments of torch.convolution: steps of one, no padding, not transposed."""


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
    parts = gradient.new_zeros((rows, width * few, high, features.shape[3])).contiguous(memory_format=_layout(weight))
    for start, part in enumerate(parts.split(few, dim=1)):
        part[..., start : start + wide] = gradient
    to_features, to_tall, _ = _torch_backward(parts, features, _tall(weight), PLAIN, [*wanted[:2], False])
    to_weight = None
    if to_tall is not None:
        to_weight = to_tall.reshape(width, few, channels, height).permute(1, 2, 3, 0)  # (few, C, k, l)
    return to_features, to_weight, gradient.sum((0, 2, 3)) if wanted[2] else None
