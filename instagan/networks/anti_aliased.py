"""Generator and discriminator of CUT: those of CycleGAN, blurred where the resolution changes.

The published layer numbers hold: ``encoder`` has the numbers 0 ... 20 of the generator, ``decoder`` those from 21 on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from instagan.networks.blocks import NORMS, RESIDUAL_BLOCKS, RGB, NormalisedEncoder, ResidualBlock, patch_width
from instagan.networks.blur import BlurDownsample, BlurUpsample
from instagan.networks.taps import features_at
from instagan.structures.instances import InstanceBatch


class AntiAliasedGenerator(nn.Module):
    """Translates pictures: G(x) = decoder(encoder(x)). Takes any slots and gives none. H and W must be multiples of 4.

    11,378,179 parameters at ngf 64.
    """

    kind = "anti_aliased"

    def __init__(
        self, ngf: int = 64, norm: str = "instance", blocks: int = RESIDUAL_BLOCKS, channels: int = RGB
    ) -> None:
        """channels: of the pictures that go in, and as many come out."""
        super().__init__()
        unusual = {} if channels == RGB else {"channels": channels}
        self.config = {"ngf": ngf, "norm": norm, "blocks": blocks, **unusual}
        self.input_nc = self.output_nc = channels
        self.encoder = encoder(ngf, norm, blocks, channels)
        self.decoder = decoder(ngf, NORMS[norm], channels)

    def forward(self, x: InstanceBatch) -> InstanceBatch:
        return InstanceBatch.from_images(self.decoder(self.encoder(x.image)).to(x.image))

    def features(self, x: InstanceBatch, taps: Sequence[int]) -> list[Tensor]:
        """What the encoder's layers of these numbers give, one (B, C, h, w) for each; later layers do not run."""
        return [features.to(x.image) for features in features_at(self.encoder, x.image, taps)]

    def channels(self, taps: Sequence[int]) -> list[int]:
        """How many channels the features of these layers have."""
        with torch.no_grad():
            example = torch.zeros((1, self.input_nc, 8, 8), device=next(self.parameters()).device)
            return [features.shape[1] for features in features_at(self.encoder, example, taps)]


class AntiAliasedPatchDiscriminator(nn.Module):
    """Scores the patches of pictures, the higher the more real. Returns (B, 1, H/2^layers - 2, W/2^layers - 2).

    2,764,737 parameters at ndf 64 and with 3 layers; a score then sees 70 x 70 pixels. Masks are not looked at.
    """

    def __init__(self, ndf: int = 64, layers: int = 3, norm: str = "instance", channels: int = RGB) -> None:
        super().__init__()
        self.layers = patch_layers(ndf, layers, NORMS[norm], channels=channels)

    def forward(self, x: InstanceBatch) -> Tensor:
        return self.layers(x.image).to(x.image)  # (B, 1, h - 2, w - 2)


def patch_layers(
    ndf: int, layers: int, norm: Callable[[int], nn.Module], biases: bool = True, channels: int = RGB
) -> nn.Sequential:  # fmt: skip
    """(B, channels, H, W) -> (B, 1, H/2^layers - 2, W/2^layers - 2). biases: of convolutions in front of a norm."""
    widths = [patch_width(ndf, layer) for layer in range(layers + 1)]
    stack: list[nn.Module] = [nn.Conv2d(channels, ndf, 4, padding=1), nn.LeakyReLU(0.2, inplace=True), BlurDownsample()]
    for place, (narrow, wide) in enumerate(pairwise(widths), 1):
        stack += [nn.Conv2d(narrow, wide, 4, padding=1, bias=biases), norm(wide), nn.LeakyReLU(0.2, inplace=True)]
        stack += [BlurDownsample()] if place < layers else []
    return nn.Sequential(*stack, nn.Conv2d(widths[-1], 1, 4, padding=1))


def encoder(ngf: int, norm: str, blocks: int, input_nc: int = RGB) -> nn.Sequential:
    """(B, input_nc, H, W) -> (B, 4 ngf, H/4, W/4)."""
    layers: list[nn.Module] = [
        nn.ReflectionPad2d(3), nn.Conv2d(input_nc, ngf, 7), NORMS[norm](ngf), nn.ReLU(inplace=True),
    ]  # fmt: skip
    for channels in (ngf, 2 * ngf):
        layers += [
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            NORMS[norm](2 * channels),
            nn.ReLU(inplace=True),
            BlurDownsample(),
        ]
    layers += [ResidualBlock(4 * ngf, norm) for _ in range(blocks)]
    return NormalisedEncoder(*layers) if norm == "instance" else nn.Sequential(*layers)


def decoder(ngf: int, norm: Callable[[int], nn.Module], output_nc: int = RGB) -> nn.Sequential:
    """(B, 4 ngf, H/4, W/4) -> (B, output_nc, H, W) in [-1, 1]."""
    layers: list[nn.Module] = []
    for channels in (4 * ngf, 2 * ngf):
        layers += [
            BlurUpsample(),
            nn.Conv2d(channels, channels // 2, 3, padding=1),
            norm(channels // 2),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(ngf, output_nc, 7), nn.Tanh())
