"""DRIT's networks: an image is a content map, which both domains share, and an attribute of a few numbers, which says
how it looks within its domain (Lee, Tseng, Huang, Singh, Yang, ECCV 2018; DRIT++, IJCV 2020).

Content of both domains meets in layers that they share, and in a discriminator that cannot tell them apart. Attributes
come into a decoder in one of two modes: "concat", as channels beside the features, for looks alone; or "feature-wise",
through layers that mix every position with them, for shapes that change, too.

Letters: B images in a batch, S numbers of an attribute, C = 4 ngf channels of a content map, H x W image, h x w = H/4 x
W/4 content map. Convolutions pad by reflection unless it is said otherwise. Counts of parameters are those at 64.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from instagan.networks.blocks import (
    TRANSPOSED,
    UPSAMPLING,
    NormalisedEncoder,
    ResidualBlock,
    normalised,
    padded_convolution,
)
from instagan.networks.munit import MultiScaleDiscriminator, StyleEncoder
from instagan.networks.munit import smallest_side as smallest_side_of_scales
from instagan.networks.normalisation import InstanceNorm2d
from instagan.structures.instances import InstanceBatch

SLOPE = 0.01
"""Of LeakyReLU, where it is not 0.2."""
STEM_BLOCKS, FEATURE_WISE_BLOCKS, CONCAT_BLOCKS = 3, 4, 3
CONTENT_LAYERS, SINGLE_SCALE_LAYERS = 3, 6
"""Strided convolutions of the content discriminator, and of the discriminator with one scale."""
STRIDE = 4
"""Pixels of an image for each cell of a content map."""


class ContentStem(NormalisedEncoder):
    """A domain's own part of its content encoder: (B, 3, H, W) in [-1, 1] -> (B, C, H/4, W/4).

    A 7x7 convolution, two stride-2 ones, three residual blocks. ``SharedLayers`` follow. 3,918,976 parameters.
    """

    first_norm = 5

    def __init__(self, ngf: int = 64) -> None:
        layers = [*padded_convolution(3, ngf, 7), nn.LeakyReLU(SLOPE, inplace=True)]
        for channels in (ngf, 2 * ngf):
            layers += padded_convolution(channels, 2 * channels, 3, stride=2)
            layers += [InstanceNorm2d(2 * channels), nn.ReLU(inplace=True)]
        super().__init__(*layers, *(ResidualBlock(4 * ngf) for _ in range(STEM_BLOCKS)))


class SharedBlock(NormalisedEncoder):
    """A residual block that both domains have in common. (B, C, h, w) -> (B, C, h, w). 1,180,160 parameters."""

    first_norm = 0

    def __init__(self, ngf: int = 64) -> None:
        super().__init__(ResidualBlock(4 * ngf))


class SharedLayers(nn.Module):
    """What both domains have in common.

    content    the last block of the content encoders, after ``ContentStem``
    decoder    the first block of the decoders, in concat mode; else they share nothing
    """

    def __init__(self, ngf: int = 64, concat: bool = True) -> None:
        super().__init__()
        self.content = SharedBlock(ngf)
        self.decoder = SharedBlock(ngf) if concat else nn.Identity()
        self.channels = 4 * ngf  # C


class AttributeEncoder(nn.Module):
    """(B, 3, H, W) in [-1, 1] -> attribute (B, S), the mean of what the image tells of it."""

    def __init__(self, ngf: int = 64, style_size: int = 8) -> None:
        super().__init__()

    def forward(self, image: Tensor) -> Tensor:
        return self.distribution(image)[0]

    def distribution(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Means and logarithms of variances, (B, S) each; None for an attribute that is certain."""
        raise NotImplementedError


class ConcatAttributeEncoder(AttributeEncoder):
    """Of concat mode: a strided convolution and three residual blocks that halve. 1,344,080 parameters."""

    def __init__(self, ngf: int = 64, style_size: int = 8) -> None:
        super().__init__()
        widths = [ngf, 2 * ngf, 3 * ngf, 4 * ngf]
        halving = [HalvingBlock(*pair) for pair in zip(widths, widths[1:], strict=False)]
        self.layers = nn.Sequential(
            *padded_convolution(3, ngf, 4, stride=2), *halving, nn.LeakyReLU(0.2), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.mean, self.log_variance = (nn.Linear(4 * ngf, style_size) for _ in range(2))

    def distribution(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        features = self.layers(image).to(image)  # (B, C)
        return self.mean(features), self.log_variance(features)  # (B, S) each


class FeatureWiseAttributeEncoder(AttributeEncoder):
    """Of feature-wise mode: MUNIT's style encoder. 2,764,936 parameters."""

    def __init__(self, ngf: int = 64, style_size: int = 8) -> None:
        super().__init__()
        self.layers = StyleEncoder(ngf, style_size).layers

    def distribution(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.layers(image).flatten(1).to(image), None  # (B, S)


class HalvingBlock(nn.Module):
    """Two convolutions, LeakyReLU before each, a 1x1 one around both: (B, C, h, w) -> (B, C', h/2, w/2)."""

    def __init__(self, narrow: int, wide: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LeakyReLU(0.2), *padded_convolution(narrow, narrow, 3),
            nn.LeakyReLU(0.2), *padded_convolution(narrow, wide, 3), nn.AvgPool2d(2),
        )  # fmt: skip
        self.around = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(narrow, wide, 1))

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features) + self.around(features)


class FeatureWiseDecoder(nn.Module):
    """Content (B, C, h, w), attribute (B, S) -> image (B, 3, 4 h, 4 w) in [-1, 1]. 8,573,187 parameters.

    mlp     attribute -> a vector of C numbers for each block
    blocks  residual blocks that mix every position with their vector
    tail    two transposed convolutions, each doubling the size, with layer norm; then 1x1 and tanh

    upsample: out of ``UPSAMPLING``; published: transposed convolutions.
    """

    def __init__(self, ngf: int = 64, style_size: int = 8, upsample: str = TRANSPOSED) -> None:
        super().__init__()
        channels, self.upsample = 4 * ngf, upsample
        self.mlp = nn.Sequential(
            nn.Linear(style_size, channels),
            nn.ReLU(inplace=True),
            nn.Linear(channels, channels),
            nn.ReLU(inplace=True),
            nn.Linear(channels, FEATURE_WISE_BLOCKS * channels),
        )
        self.blocks = nn.ModuleList(ModulatedBlock(channels) for _ in range(FEATURE_WISE_BLOCKS))
        tail = [*doubled(channels, channels // 2, upsample), *doubled(channels // 2, ngf, upsample)]
        self.tail = nn.Sequential(*tail, nn.ConvTranspose2d(ngf, 3, 1), nn.Tanh())

    @property
    def style_size(self) -> int:
        """S."""
        return int(self.mlp[0].in_features)  # type: ignore[arg-type]

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        vectors = self.mlp(style).chunk(len(self.blocks), dim=1)  # (B, C) for each block
        for block, vector in zip(self.blocks, vectors, strict=True):
            content = block(content, vector)  # (B, C, h, w)
        return self.tail(content).to(style)  # (B, 3, H, W)


class ModulatedBlock(nn.Module):
    """x + h(x, vector): after each of two convolutions, every position is mixed with the vector. (B, C, h, w) -> same.

    vector (B, C).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Sequential(*padded_convolution(channels, channels, 3), InstanceNorm2d(channels)) for _ in range(2)
        )
        self.first_mix, self.second_mix = (
            nn.Sequential(
                nn.Conv2d(2 * channels, 2 * channels, 1),
                nn.ReLU(inplace=True),
                nn.Conv2d(2 * channels, channels, 1),
                nn.ReLU(inplace=True),
            )
            for _ in range(2)
        )

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        h = self.first_mix(beside(self.first(x), vector))  # (B, C, h, w)
        return x + self.second_mix(beside(self.second(h), vector))


class ConcatDecoder(nn.Module):
    """Content (B, C, h, w) after ``SharedLayers.decoder``, attribute (B, S) -> image (B, 3, 4 h, 4 w) in [-1, 1].

    blocks  residual blocks of C + S channels
    ups     two transposed convolutions, each doubling the size and halving the channels, with layer norm
    last    1x1 and tanh

    Each of the three sees the attribute anew, as S constant channels. upsample: as above. 4,192,275 parameters.
    """

    def __init__(self, ngf: int = 64, style_size: int = 8, upsample: str = TRANSPOSED) -> None:
        super().__init__()
        width = 4 * ngf + style_size
        self.style_size, self.upsample = style_size, upsample
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(CONCAT_BLOCKS)))
        self.ups = nn.ModuleList()
        for _ in range(2):
            width += style_size
            self.ups.append(nn.Sequential(*doubled(width, width // 2, upsample)))
            width //= 2
        self.last = nn.Sequential(nn.ConvTranspose2d(width + style_size, 3, 1), nn.Tanh())

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        features = self.blocks(beside(content, style))  # (B, C + S, h, w)
        for up in self.ups:
            features = up(beside(features, style))  # (B, about C/2, 2 h, 2 w), then (B, about C/4, 4 h, 4 w)
        return self.last(beside(features, style)).to(style)  # (B, 3, H, W)


MODES: dict[bool, tuple[type[AttributeEncoder], type[ConcatDecoder | FeatureWiseDecoder]]] = {
    True: (ConcatAttributeEncoder, ConcatDecoder),
    False: (FeatureWiseAttributeEncoder, FeatureWiseDecoder),
}
"""Whether the mode is "concat" -> its attribute encoder and its decoder; each takes ngf and S."""


def beside(features: Tensor, vector: Tensor) -> Tensor:
    """[features ; vector at every position]: (B, C, h, w), (B, S) -> (B, C + S, h, w)."""
    everywhere = vector.to(features)[:, :, None, None].expand(-1, -1, *features.shape[2:])  # (B, S, h, w)
    return torch.cat([features, everywhere], dim=1)


def layer_norm(channels: int) -> nn.GroupNorm:
    """Normalises each row over all channels and positions, then scales and shifts each channel. (B, C, h, w) -> same.

    The standard one, unlike MUNIT's: variance with n, eps 1e-5 within the root, gains begin at 1.
    """
    return nn.GroupNorm(1, channels)


def doubled(narrow: int, wide: int, upsample: str = TRANSPOSED) -> list[nn.Module]:
    """A layer that doubles the size, layer norm and ReLU: (B, narrow, h, w) -> (B, wide, 2 h, 2 w)."""
    return [UPSAMPLING[upsample](narrow, wide), layer_norm(wide), nn.ReLU(inplace=True)]


def discriminator(ndf: int = 64, scales: int = 3, norm: str = "none") -> nn.Module:
    """Scores patches of images: InstanceBatch -> a map of scores for each scale. 8,271,171 parameters with 3 scales."""
    return MultiScaleDiscriminator(ndf, scales, SLOPE, norm) if scales > 1 else SingleScaleDiscriminator(ndf, norm)


class SingleScaleDiscriminator(nn.Module):
    """Scores large patches at one size: InstanceBatch -> [(B, 1, H/64, W/64)]. 25,149,057 parameters."""

    def __init__(self, ndf: int = 64, norm: str = "none") -> None:
        super().__init__()
        widths = [3, *(ndf * 2**layer for layer in range(SINGLE_SCALE_LAYERS))]
        layers: list[nn.Module] = []
        for narrow, wide in zip(widths, widths[1:], strict=False):
            layers += padded_convolution(narrow, wide, 3, stride=2)
            layers += [*normalised(wide, norm), nn.LeakyReLU(SLOPE, inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 1))

    def forward(self, x: InstanceBatch) -> list[Tensor]:
        return [self.layers(x.image).to(x.image)]


def smallest_side(scales: int, norm: str = "none") -> int:
    """Shortest side in pixels of the images that a ``discriminator`` can judge."""
    if scales > 1:
        return smallest_side_of_scales(scales, norm)
    return 2 ** (SINGLE_SCALE_LAYERS - (norm == "none")) + 1  # padding by reflection needs two values, a norm, too


class ContentDiscriminator(nn.Module):
    """Scores contents, the higher the more it takes them for the second domain's: (B, C, h, w) -> (B, 1, h', w').

    layers 7x7 convolutions of stride 2, then 4x4 without padding, then 1x1. The published three layers need a content
    map of 53 x 53, images of 212 pixels: see ``content_layers``. 10,683,649 parameters with them.
    """

    def __init__(self, ngf: int = 64, layers: int = CONTENT_LAYERS, norm: str = "none") -> None:
        super().__init__()
        channels = 4 * ngf
        made: list[nn.Module] = []
        for _ in range(layers):
            made += [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 7, stride=2), *normalised(channels, norm)]
            made += [nn.LeakyReLU(SLOPE, inplace=True)]
        made += [nn.Conv2d(channels, channels, 4), nn.LeakyReLU(SLOPE, inplace=True)]
        self.layers = nn.Sequential(*made, nn.Conv2d(channels, 1, 1))

    def forward(self, content: Tensor) -> Tensor:
        return self.layers(content).to(content)  # (B, 1, h', w')


def content_layers(side: int) -> int:
    """How many of the published three layers a content discriminator has room for, by the images' shortest side."""
    return max((layers for layers, least in enumerate(smallest_sides()) if side >= least), default=0)


def smallest_sides() -> Iterator[int]:
    """Shortest sides in pixels of the images that content discriminators can judge, by their layers: 16, 44, ..."""
    of_map = 4
    for _ in range(CONTENT_LAYERS + 1):
        yield STRIDE * of_map
        of_map = 2 * of_map + 3
