"""3x3 convolutions with a quarter of the multiplications: minimal filtering F(4x4, 3x3), forward and backward.

This is Winograd's algorithm (Arithmetic Complexity of Computations, 1980; for networks: Lavin and Gray, Fast Algorithms
for Convolutional Neural Networks, CVPR 2016). A tile of 4 x 4 results needs 6 x 6 pixels of the input. Tile and kernel
are taken as polynomials and evaluated at six points in each dimension, where a convolution is a plain product: 36
products over the channels per tile instead of 144. These products, and the transforms to points and back, are matrix
products. Everything is linear, so the gradients are the same steps in the opposite order.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

TILE, KERNEL = 4, 3
SEEN = TILE + KERNEL - 1
POINTS = tuple(Fraction(point) for point in ("0", "3/4", "-3/4", "3/2", "-3/2"))
"""Where polynomials are evaluated, besides infinity. Exact in binary; they round half as much as 0, 1, -1, 2, -2."""

MOST_TILES = 1024
"""Tiles that are computed at once: at the points they take 4.5 times the memory of image and result."""


def convolve(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """torch's ``conv2d`` without padding: (B, C, h + 2, w + 2) by (C', C, 3, 3) -> (B, C', h, w), channels-last."""
    rows, _, high, wide = features.shape
    made, height, width = weight.shape[0], high - KERNEL + 1, wide - KERNEL + 1
    if rows * _tiles(height) * _tiles(width) > MOST_TILES and height > TILE:
        cut = _tiles(height) // 2 * TILE
        bands = features[:, :, : cut + KERNEL - 1], features[:, :, cut:]
        return torch.cat([convolve(band, weight, bias) for band in bands], dim=2)
    padded = _padded(features, height, width)
    products = _batched(_at_points(padded), _weight_at_points(weight))  # (36, tiles, C')
    down, across = _tiles(height), _tiles(width)
    tiles = _changed(_matrices()[2], products.flatten(1)).view(TILE, TILE, rows, down, across, made)
    image = features.new_empty((rows, down, TILE, across, TILE, made))
    tiles = tiles.permute(2, 3, 0, 4, 1, 5)
    torch.add(tiles, 0 if bias is None else bias, out=image)
    return _cropped(image, height, width)


def backward(
    gradient: Tensor, features: Tensor, weight: Tensor, wanted: list[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of features, weight and bias where wanted, from that of the result (B, C', h, w)."""
    made, channels = weight.shape[:2]
    rows, _, height, width = gradient.shape
    down, across = _tiles(height), _tiles(width)
    to_input, _, to_output = _matrices()
    tiles = _padded(gradient, height, width).reshape(rows, down, TILE, across, TILE, made).permute(2, 4, 0, 1, 3, 5)
    slopes = _changed(to_output.T.contiguous(), tiles.reshape(TILE**2, -1)).view(SEEN**2, -1, made)  # (36, tiles, C')
    to_features = to_weight = None
    if wanted[0]:
        seen = _batched(slopes, _weight_at_points(weight).transpose(1, 2))  # (36, tiles, C)
        parts = _changed(to_input.T.contiguous(), seen.flatten(1)).view(SEEN, SEEN, rows, down, across, channels)
        to_features = _added(parts, height + KERNEL - 1, width + KERNEL - 1)
    if wanted[1]:
        seen = _at_points(_padded(features, height, width))
        to_weight = _weight_from_points(_batched(slopes.transpose(1, 2).contiguous(), seen.transpose(1, 2)))
    return to_features, to_weight, gradient.sum((0, 2, 3)) if wanted[2] else None


def _tiles(length: int) -> int:
    return -(-length // TILE)


def _padded(features: Tensor, height: int, width: int) -> Tensor:
    """(B, C, H, W) -> (B, H', W', C), with zeros that complete the last tiles of a result h x w."""
    below, beside = _tiles(height) * TILE - height, _tiles(width) * TILE - width
    return functional.pad(features.permute(0, 2, 3, 1), (0, 0, 0, beside, 0, below))


def _at_points(image: Tensor) -> Tensor:
    """(B, H, W, C) -> (36, tiles, C)."""
    tiles = image.unfold(1, SEEN, TILE).unfold(2, SEEN, TILE).permute(4, 5, 0, 1, 2, 3)
    return _changed(_matrices()[0], tiles.reshape(SEEN**2, -1)).view(SEEN**2, -1, image.shape[3])


def _weight_at_points(weight: Tensor) -> Tensor:
    """(C', C, 3, 3) -> (36, C', C)."""
    kernel = weight.permute(2, 3, 0, 1).reshape(KERNEL**2, -1)
    return _changed(_matrices()[1], kernel).view(SEEN**2, *weight.shape[:2])


def _weight_from_points(points: Tensor) -> Tensor:
    """The gradient of (C', C, 3, 3) from that of (36, C', C), in channels-last."""
    _, made, channels = points.shape
    kernel = _changed(_matrices()[1].T.contiguous(), points.flatten(1)).view(KERNEL, KERNEL, made, channels)
    return kernel.permute(2, 3, 0, 1).contiguous(memory_format=torch.channels_last)


def _added(parts: Tensor, height: int, width: int) -> Tensor:
    """Adds up overlapping tiles (6, 6, B, down, across, C) -> image (B, C, height, width)."""
    _, _, rows, down, across, channels = parts.shape
    image = parts.new_zeros((rows, down + 1, TILE, across + 1, TILE, channels))
    parts = parts.permute(2, 3, 0, 4, 1, 5)
    more = SEEN - TILE
    image[:, :down, :, :across] = parts[:, :, :TILE, :, :TILE]
    image[:, 1:, :more, :across] += parts[:, :, TILE:, :, :TILE]
    image[:, :down, :, 1:, :more] += parts[:, :, :TILE, :, TILE:]
    image[:, 1:, :more, 1:, :more] += parts[:, :, TILE:, :, TILE:]
    return _cropped(image, height, width)


def _cropped(image: Tensor, height: int, width: int) -> Tensor:
    """(B, down, 4, across, 4, C) -> (B, C, height, width) in channels-last."""
    rows, down, _, across, _, channels = image.shape
    image = image.view(rows, down * TILE, across * TILE, channels)[:, :height, :width]
    return image.contiguous().permute(0, 3, 1, 2)


def _changed(change: Tensor, values: Tensor) -> Tensor:
    """Transforms pixels to points or back: (m, k) times (k, anything)."""
    return _product(change, values.T)


def _batched(left: Tensor, right: Tensor) -> Tensor:
    """Products of 36 matrices on either side (36, m, k) and (36, n, k) -> (36, m, n)."""
    products = left.new_empty((len(left), left.shape[1], right.shape[1]))
    for one, other, product in zip(left, right, products, strict=True):
        product.copy_(_product(one, other))  # while it is in the cache
    return products


def _product(left: Tensor, right: Tensor) -> Tensor:
    """``left @ right.T`` by oneDNN where torch has it: MKL, which torch asks otherwise, is half as fast on AMD."""
    if _has_onednn():
        return torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")
    return left @ right.T


@cache
def _has_onednn() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@cache
def _matrices() -> tuple[Tensor, Tensor, Tensor]:
    """Transforms: tile of the input (36) to points (36); kernel (9) to points; points to tile of the result (16)."""
    ends = [[Fraction(int(power == KERNEL - 1)) for power in range(KERNEL)]]
    kernel = [[point**power / _apart(point) for power in range(KERNEL)] for point in POINTS] + ends
    result = [[point**power for point in POINTS] + [Fraction(int(power == TILE - 1))] for power in range(TILE)]
    inputs = [[*_polynomial([p for p in POINTS if p != point]), Fraction(0)] for point in POINTS]
    inputs.append(_polynomial(POINTS))
    return _both_ways(inputs), _both_ways(kernel), _both_ways(result)


def _apart(point: Fraction) -> Fraction:
    product = Fraction(1)
    for other in POINTS:
        product *= point - other if other != point else 1
    return product


def _polynomial(zeros: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients of the product of (x - zero), of the lowest power first."""
    coefficients = [Fraction(1)]
    for zero in zeros:
        shifted, scaled = [Fraction(0), *coefficients], [*(-zero * c for c in coefficients), Fraction(0)]
        coefficients = [one + other for one, other in zip(shifted, scaled, strict=True)]
    return coefficients


def _both_ways(rows: list[list[Fraction]]) -> Tensor:
    """A transform along one dimension as a matrix (float32) for both dimensions of an image at once."""
    line = torch.tensor([[float(value) for value in row] for row in rows], dtype=torch.float64)
    return torch.kron(line, line).float()
