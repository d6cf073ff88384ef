"""MUNIT's networks: a picture is a content map, which domains share, and a style code of a few numbers, which is drawn
from N(0, I) or taken from an example (Huang, Liu, Belongie, Kautz, ECCV 2018). Each domain has networks of its own.

Letters: B pictures in a batch, S numbers of a style, C = 4 ngf channels of a content map, H x W picture, h x w = H/4 x
W/4 content map. Every convolution pads by reflection.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from instagan.networks.blocks import NormalisedEncoder, ResidualBlock, normalised, padded_convolution
from instagan.networks.normalisation import InstanceNorm2d
from instagan.structures.instances import InstanceBatch

RESIDUAL_BLOCKS = 4
STRIDED_LAYERS = 4
"""Stride-2 convolutions of the style encoder, and of the discriminator of each scale."""


class ContentEncoder(nn.Module):
    """(B, 3, H, W) in [-1, 1] -> content (B, 4 ngf, H/4, W/4). H and W must be multiples of 4.

    stem: 7x7 convolution and two stride-2 ones, with instance norm; blocks: residual blocks. A spatially constant input
    gives zeros. 5,385,856 parameters at ngf 64.
    """

    def __init__(self, ngf: int = 64, blocks: int = RESIDUAL_BLOCKS) -> None:
        super().__init__()
        stem: list[nn.Module] = [*padded_convolution(3, ngf, 7), InstanceNorm2d(ngf), nn.ReLU(inplace=True)]
        for channels in (ngf, 2 * ngf):
            stem += padded_convolution(channels, 2 * channels, 4, stride=2)
            stem += [InstanceNorm2d(2 * channels), nn.ReLU(inplace=True)]
        self.stem = NormalisedEncoder(*stem)
        self.blocks = NormalisedEncoder(*(ResidualBlock(4 * ngf) for _ in range(blocks)))
        self.blocks.first_norm = 0

    def forward(self, image: Tensor) -> Tensor:
        return self.blocks(self.stem(image))  # (B, C, h, w)


class StyleEncoder(nn.Module):
    """(B, 3, H, W) in [-1, 1] -> style (B, S) of any size: strided convolutions without a norm, then their mean.

    A norm would take away the means and variances that a style is told by. 2,764,936 parameters at ngf 64.
    """

    def __init__(self, ngf: int = 64, style_size: int = 8) -> None:
        super().__init__()
        widths = [ngf, *(min(2 * ngf * 2**layer, 4 * ngf) for layer in range(STRIDED_LAYERS))]
        layers: list[nn.Module] = [*padded_convolution(3, ngf, 7), nn.ReLU(inplace=True)]
        for narrow, wide in zip(widths, widths[1:], strict=False):
            layers += [*padded_convolution(narrow, wide, 4, stride=2), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Conv2d(4 * ngf, style_size, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image).flatten(1).to(image)  # (B, S)


class Decoder(nn.Module):
    """Content (B, 4 ngf, h, w) and style (B, S) -> picture (B, 3, 4 h, 4 w) in [-1, 1].

    mlp     style -> the shifts and scales of all AdaIN layers
    blocks  residual blocks with adaptive instance norm (AdaIN), where the style comes in
    tail    two times: twice the size by repeating pixels, 5x5 convolution, layer norm, ReLU; then 7x7 and tanh

    6,875,395 parameters at ngf 64 and with styles of 8 numbers.
    """

    def __init__(
        self, ngf: int = 64, blocks: int = RESIDUAL_BLOCKS, style_size: int = 8, mlp_width: int = 256
    ) -> None:  # fmt: skip
        super().__init__()
        channels = 4 * ngf
        self.mlp = nn.Sequential(
            nn.Linear(style_size, mlp_width),
            nn.ReLU(inplace=True),
            nn.Linear(mlp_width, mlp_width),
            nn.ReLU(inplace=True),
            nn.Linear(mlp_width, blocks * AdaptiveResidualBlock.numbers_per_channel * channels),
        )
        self.blocks = nn.ModuleList(AdaptiveResidualBlock(channels) for _ in range(blocks))
        tail: list[nn.Module] = []
        for wide in (channels, channels // 2):
            tail += [nn.Upsample(scale_factor=2), *padded_convolution(wide, wide // 2, 5), LayerNorm(wide // 2)]
            tail += [nn.ReLU(inplace=True)]
        self.tail = nn.Sequential(*tail, *padded_convolution(ngf, 3, 7), nn.Tanh())

    @property
    def style_size(self) -> int:
        """S."""
        return int(self.mlp[0].in_features)  # type: ignore[arg-type]

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        numbers = self.mlp(style).chunk(len(self.blocks), dim=1)  # (B, 4 C) for each block
        for block, of_block in zip(self.blocks, numbers, strict=True):
            content = block(content, of_block)  # (B, C, h, w)
        return self.tail(content).to(style)  # (B, 3, H, W)


class AdaptiveResidualBlock(nn.Module):
    """x + h(x), h two 3x3 convolutions, each with AdaIN after it. x (B, C, h, w), numbers (B, 4 C) -> (B, C, h, w).

    numbers: the shifts of the first AdaIN, its scales, the shifts of the second one, its scales.
    """

    numbers_per_channel = 4

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Sequential(*padded_convolution(channels, channels, 3))
        self.second = nn.Sequential(*padded_convolution(channels, channels, 3))
        self.norm = InstanceNorm2d(channels)

    def forward(self, x: Tensor, numbers: Tensor) -> Tensor:
        shift_1, scale_1, shift_2, scale_2 = numbers[:, :, None, None].chunk(4, dim=1)  # (B, C, 1, 1) each
        h = functional.relu(shift_1 + scale_1 * self.norm(self.first(x)))
        return x + (shift_2 + scale_2 * self.norm(self.second(h)))


class LayerNorm(nn.Module):
    """Normalises each row over all channels and pixels, then scales and shifts each channel. (B, C, h, w) -> the same.

    As published, unlike torch's: divides by (deviation + eps), the deviation with n - 1; gains begin in [0, 1).
    """

    eps = 1e-5

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.rand(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        wide = features.to(torch.promote_types(features.dtype, torch.float32))
        std, mean = torch.std_mean(wide, (1, 2, 3), keepdim=True)  # (B, 1, 1, 1)
        normalised = (wide - mean) / (std + self.eps)
        return (self.gain[:, None, None] * normalised + self.bias[:, None, None]).to(features)


class MultiScaleDiscriminator(nn.Module):
    """Scores the patches of pictures at full, half, quarter, ... size, the higher the more real: one map per scale.

    Gives [(B, 1, H/16, W/16), (B, 1, H/32, W/32), ...]; smallest pictures: see ``smallest_side``. 8,271,171 parameters
    at ndf 64 and with 3 scales. slope: of LeakyReLU; norm: out of ``NORMS``, after every strided convolution.
    """

    def __init__(self, ndf: int = 64, scales: int = 3, slope: float = 0.2, norm: str = "none") -> None:
        super().__init__()
        self.scales = nn.ModuleList(_patch_scores(ndf, slope, norm) for _ in range(scales))
        self.halved = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)

    def forward(self, x: InstanceBatch) -> list[Tensor]:
        return list(self._scores(x.image))

    def _scores(self, image: Tensor) -> Iterator[Tensor]:
        seen = image
        for place, layers in enumerate(self.scales):
            seen = self.halved(seen) if place else seen  # (B, 3, H/2^place, W/2^place)
            yield layers(seen).to(image)  # (B, 1, h, w)


def smallest_side(scales: int, norm: str = "none") -> int:
    """Shortest picture side in pixels of which the coarsest scale is left 16, what four strided convolutions need.

    A norm needs twice as many: more than one value.
    """
    least = 2**STRIDED_LAYERS * (1 if norm == "none" else 2)
    return (least - 1) * 2 ** (scales - 1) + 1


def _patch_scores(ndf: int, slope: float, norm: str) -> nn.Sequential:
    """(B, 3, H, W) -> (B, 1, H/16, W/16)."""
    widths = [3, *(ndf * 2**layer for layer in range(STRIDED_LAYERS))]
    layers: list[nn.Module] = []
    for narrow, wide in zip(widths, widths[1:], strict=False):
        layers += padded_convolution(narrow, wide, 4, stride=2)
        layers += normalised(wide, norm) + [nn.LeakyReLU(slope, inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 1))
