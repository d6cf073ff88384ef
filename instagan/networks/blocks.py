"""The parts that the networks are made of: residual block, down- and upsampling stacks, weight initialisation.

Convolutions have a bias also where a normalisation follows and cancels it: the published weights have one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from instagan.kernels.convolution import Conv2d, ConvTranspose2d
from instagan.kernels.normalisation import InstanceNorm2d, ReflectionPad2d
from instagan.kernels.stack import Block, Chain, Stack
from instagan.networks.owners import add_of_owner

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "instance": InstanceNorm2d,  # without affine parameters and running statistics: a row never sees another row
    "none": lambda channels: nn.Identity(),
}
RESIDUAL_BLOCKS = 9
SIZE_MULTIPLE = 4
"""Two stride-2 convolutions and their inverses give back exactly the sizes that 4 divides."""
EVEN = 2.0**-14
"""A channel whose values differ by less is even: a 128th of the step between two values of 8 bits."""


class ResidualBlock(Block):
    """x + h(x), h two 3x3 convolutions with reflection padding. (B, C, h, w) -> (B, C, h, w)."""

    def __init__(self, channels: int, norm: str = "instance") -> None:
        super().__init__()
        self.layers = Chain(
            ReflectionPad2d(1),
            Conv2d(channels, channels, 3),
            NORMS[norm](channels),
            nn.ReLU(inplace=True),
            ReflectionPad2d(1),
            Conv2d(channels, channels, 3),
            NORMS[norm](channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)


class NormalisedEncoder(Stack):
    """A stack with instance norm after its convolutions, which sees nothing in a row that is even.

    Instance norm takes the mean from every feature. Of a row that has one value per channel (a mask that fills the
    picture, a black picture) only rounding errors are left, which every further norm multiplies by up to 1 / sqrt(eps),
    316: computed plainly, the features of such a row are noise, and their gradients a thousand times those of any
    other, or infinite. Here they are 0, what they would be without rounding, and so are the gradients.
    """

    first_norm = 2
    """Index of the first normalisation, from which on such a row is 0."""

    def forward(self, features: Tensor, chunk: int | None = None) -> Tensor:
        return self.silenced(super().forward(features, chunk), features)

    def silenced(self, encoded: Tensor, features: Tensor) -> Tensor:
        """What was made of the features, with 0 for every row of them that is even."""
        seen = features.detach()  # that a row is even has no gradient
        even = (seen.amax((2, 3)) - seen.amin((2, 3)) < EVEN).all(1)  # (B,)
        return torch.where(even[:, None, None, None], 0, encoded)  # as they lie in memory


def encoder(in_channels: int, ngf: int, norm: str = "instance", blocks: int = RESIDUAL_BLOCKS) -> Stack:
    """(B, in_channels, H, W) -> (B, 4 ngf, H/4, W/4): 7x7 stem, two stride-2 convolutions, residual blocks."""
    layers: list[nn.Module] = [ReflectionPad2d(3), Conv2d(in_channels, ngf, 7), NORMS[norm](ngf), nn.ReLU(True)]
    for channels in (ngf, 2 * ngf):
        layers += [
            Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
            NORMS[norm](2 * channels),
            nn.ReLU(inplace=True),
        ]
    layers += [ResidualBlock(4 * ngf, norm) for _ in range(blocks)]
    return NormalisedEncoder(*layers) if norm == "instance" else Stack(*layers)


class InstanceDecoder(Stack):
    """A decoder of what an instance has of its own and what all instances of its picture have in common.

    Its first layer is linear: what the common part makes there is computed once for a picture.
    """

    def forward(self, own: Tensor, common: Tensor, owner: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """own (P, C, h, w), common (B, C', h, w), owner (P,): decodes [own_k ; common of owner_k]. None: B is 1."""
        first, *layers = self
        assert isinstance(first, ConvTranspose2d)
        with self._precision(own.device.type):
            features, of_common = first.of_parts(own, common)
        return self._through(layers, add_of_owner(features, of_common, owner))


def decoder(in_channels: int, out_channels: int, norm: str = "instance", kind: type[Stack] = Stack) -> Stack:
    """(B, in_channels, H/4, W/4) -> (B, out_channels, H, W) in [-1, 1]: two transposed convolutions, 7x7, tanh."""
    layers: list[nn.Module] = []
    for channels in (in_channels, in_channels // 2):
        layers += [
            ConvTranspose2d(channels, channels // 2, 3, stride=2, padding=1, output_padding=1),
            NORMS[norm](channels // 2),
            nn.ReLU(inplace=True),
        ]
    return kind(*layers, ReflectionPad2d(3), Conv2d(in_channels // 4, out_channels, 7), nn.Tanh())


def patch_features(in_channels: int, ndf: int, layers: int, norm: str, wrap: Callable[[nn.Module], nn.Module]) -> Stack:
    """(B, in_channels, H, W) -> (B, patch_width(ndf, layers - 1), H/2^layers, W/2^layers): 4x4 stride-2 convolutions.

    ``wrap`` goes around every convolution (spectral norm, or nothing); the first has no normalisation.
    """
    stack: list[nn.Module] = [wrap(Conv2d(in_channels, ndf, 4, stride=2, padding=1)), nn.LeakyReLU(0.2, True)]
    for layer in range(1, layers):
        narrow, wide = patch_width(ndf, layer - 1), patch_width(ndf, layer)
        stack += [
            wrap(Conv2d(narrow, wide, 4, stride=2, padding=1)),
            NORMS[norm](wide),
            nn.LeakyReLU(0.2, inplace=True),
        ]
    return Stack(*stack)


def patch_classifier(in_channels: int, width: int, norm: str, wrap: Callable[[nn.Module], nn.Module]) -> Stack:
    """(B, in_channels, h, w) -> (B, 1, h - 2, w - 2): one raw score for every patch."""
    return Stack(
        wrap(Conv2d(in_channels, width, 4, padding=1)),
        NORMS[norm](width),
        nn.LeakyReLU(0.2, inplace=True),
        wrap(Conv2d(width, 1, 4, padding=1)),
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


def initialise(network: nn.Module, kind: str = "normal", gain: float = 0.02) -> None:
    """Draws the weights of all plain convolutions and linear layers anew and sets their biases to 0.

    Convolutions under a parametrization (spectral norm) keep torch's default, as in the published system.
    """
    for module in network.modules():
        if nn.utils.parametrize.is_parametrized(module):
            continue
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            INITIALISERS[kind](module.weight, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
