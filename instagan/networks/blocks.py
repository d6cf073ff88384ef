"""The parts that the networks are made of: residual block, encoder, decoder, patch classifier, weight initialisation.

Convolutions have a bias also where a normalisation follows and cancels it: the published weights have one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from instagan.networks.normalisation import InstanceNorm2d

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "instance": InstanceNorm2d,  # without affine parameters and running statistics: a row never sees another row
    "none": lambda channels: nn.Identity(),
}
RESIDUAL_BLOCKS = 9
SIZE_MULTIPLE = 4
"""Two stride-2 convolutions and their inverses give back exactly the sizes that 4 divides."""
CONSTANT = 2.0**-14
"""A channel whose values differ by less is spatially constant: a 128th of the step between two values of 8 bits."""


def padded_convolution(narrow: int, wide: int, size: int, stride: int = 1) -> list[nn.Module]:
    """Reflection padding and a convolution: (B, narrow, H, W) -> (B, wide, H/stride, W/stride)."""
    return [nn.ReflectionPad2d((size - 1) // 2), nn.Conv2d(narrow, wide, size, stride)]


def normalised(channels: int, norm: str) -> list[nn.Module]:
    """The layer that a norm out of ``NORMS`` is; none for "none"."""
    return [] if norm == "none" else [NORMS[norm](channels)]


class ResidualBlock(nn.Module):
    """x + h(x), h two 3x3 convolutions with reflection padding. (B, C, h, w) -> (B, C, h, w)."""

    def __init__(self, channels: int, norm: str = "instance") -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            NORMS[norm](channels),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            NORMS[norm](channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)


class NormalisedEncoder(nn.Sequential):
    """Layers with instance norm after their convolutions. Outputs zeros for a spatially constant input.

    Instance norm takes the mean from every feature. Of a row that has one value per channel (a mask that fills the
    picture, a black picture) only rounding errors are left, which every further norm multiplies by up to 1 / sqrt(eps),
    316: computed plainly, the features of such a row are noise, and their gradients a thousand times those of any
    other, or infinite. Here they are 0, what they would be without rounding, and so are the gradients.
    """

    first_norm = 2
    """Index of the first normalisation: from there on, features of a constant input are noise."""

    def forward(self, input: Tensor) -> Tensor:
        return self.without_noise(super().forward(input), input)

    def without_noise(self, features: Tensor, input: Tensor) -> Tensor:
        """The features that the layers made of the input, 0 in rows where the input is spatially constant."""
        seen = input.detach()  # that a row is constant has no gradient
        constant = (seen.amax((2, 3)) - seen.amin((2, 3)) < CONSTANT).all(1)  # (B,)
        return torch.where(constant[:, None, None, None], 0, features)  # keeps the memory layout


def encoder(in_channels: int, ngf: int, norm: str = "instance", blocks: int = RESIDUAL_BLOCKS) -> nn.Sequential:
    """(B, in_channels, H, W) -> (B, 4 ngf, H/4, W/4): 7x7 stem, two stride-2 convolutions, residual blocks."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(in_channels, ngf, 7), NORMS[norm](ngf), nn.ReLU(True)]
    for channels in (ngf, 2 * ngf):
        layers += [
            nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
            NORMS[norm](2 * channels),
            nn.ReLU(inplace=True),
        ]
    layers += [ResidualBlock(4 * ngf, norm) for _ in range(blocks)]
    return NormalisedEncoder(*layers) if norm == "instance" else nn.Sequential(*layers)


class ResizeConvolution(nn.Conv2d):
    """Every pixel four times, then a 3x3 convolution: (B, narrow, h, w) -> (B, wide, 2 h, 2 w).

    Of a transposed convolution with stride 2, neighbouring pixels come from different parts of the kernel, which can
    show as a checkerboard (Odena, Dumoulin, Olah, Distill 2016); here all pixels are alike.
    """

    def __init__(self, narrow: int, wide: int) -> None:
        super().__init__(narrow, wide, 3, padding=1, padding_mode="reflect")

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(functional.interpolate(features, scale_factor=2.0, mode="nearest"))


TRANSPOSED = "transposed"
UPSAMPLING: dict[str, Callable[[int, int], nn.Module]] = {
    TRANSPOSED: lambda narrow, wide: nn.ConvTranspose2d(narrow, wide, 3, stride=2, padding=1, output_padding=1),
    "resize_conv": ResizeConvolution,
}
"""Ways to double height and width: (narrow, wide) channels -> a layer."""
RGB = 3
"""Channels of pictures, unless a data set says otherwise."""


def unusual(upsample: str, input_nc: int = RGB, output_nc: int = RGB) -> dict[str, str | int]:
    """What a checkpoint says of them: nothing of what was always so, so that earlier versions read it, too."""
    usual: dict[str, str | int] = {"upsample": TRANSPOSED, "input_nc": RGB, "output_nc": RGB}
    told: dict[str, str | int] = {"upsample": upsample, "input_nc": input_nc, "output_nc": output_nc}
    return {name: value for name, value in told.items() if value != usual[name]}


def decoder(
    in_channels: int, out_channels: int, norm: str = "instance", upsample: str = TRANSPOSED
) -> nn.Sequential:  # fmt: skip
    """(B, in_channels, H/4, W/4) -> (B, out_channels, H, W) in [-1, 1]: two layers that double the size, 7x7, tanh.

    upsample: out of ``UPSAMPLING``; published: transposed convolutions.
    """
    layers: list[nn.Module] = []
    for channels in (in_channels, in_channels // 2):
        layers += [
            UPSAMPLING[upsample](channels, channels // 2),
            NORMS[norm](channels // 2),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(in_channels // 4, out_channels, 7), nn.Tanh())


def patch_features(
    in_channels: int, ndf: int, layers: int, norm: str, wrap: Callable[[nn.Module], nn.Module]
) -> nn.Sequential:
    """(B, in_channels, H, W) -> (B, patch_width(ndf, layers - 1), H/2^layers, W/2^layers): 4x4 stride-2 convolutions.

    ``wrap`` goes around every convolution (spectral norm, or nothing); the first has no normalisation.
    """
    made: list[nn.Module] = [wrap(nn.Conv2d(in_channels, ndf, 4, stride=2, padding=1)), nn.LeakyReLU(0.2, True)]
    for layer in range(1, layers):
        narrow, wide = patch_width(ndf, layer - 1), patch_width(ndf, layer)
        made += [
            wrap(nn.Conv2d(narrow, wide, 4, stride=2, padding=1)),
            NORMS[norm](wide),
            nn.LeakyReLU(0.2, inplace=True),
        ]
    return nn.Sequential(*made)


def patch_classifier(in_channels: int, width: int, norm: str, wrap: Callable[[nn.Module], nn.Module]) -> nn.Sequential:
    """(B, in_channels, h, w) -> (B, 1, h - 2, w - 2): one raw score for every patch."""
    return nn.Sequential(
        wrap(nn.Conv2d(in_channels, width, 4, padding=1)),
        NORMS[norm](width),
        nn.LeakyReLU(0.2, inplace=True),
        wrap(nn.Conv2d(width, 1, 4, padding=1)),
    )


def patch_width(ndf: int, layer: int) -> int:
    """Channels after stride-2 convolution number ``layer`` (from 0): doubling, up to 8 ndf."""
    return int(ndf * min(2**layer, 8))


INITIALISERS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "normal": lambda weight, gain: nn.init.normal_(weight, 0.0, gain),
    "xavier": lambda weight, gain: nn.init.xavier_normal_(weight, gain),
    "kaiming": lambda weight, gain: nn.init.kaiming_normal_(weight, a=0, mode="fan_in"),
    "orthogonal": lambda weight, gain: nn.init.orthogonal_(weight, gain),
}


def initialise(network: nn.Module, kind: str = "normal", gain: float = 0.02, linear: bool = True) -> None:
    """Draws the weights of all plain convolutions and linear layers anew and sets their biases to 0.

    linear: False leaves linear layers as they are. Convolutions under a parametrization (spectral norm) keep torch's
    default, as in the published system.
    """
    for module in network.modules():
        if nn.utils.parametrize.is_parametrized(module):
            continue
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) or (linear and isinstance(module, nn.Linear)):
            INITIALISERS[kind](module.weight, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
