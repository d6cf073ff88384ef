"""The published networks as they run there: plain layers of torch, one instance per call of an encoder or decoder.

They are written out here, and not taken from ``instagan``, so that nothing done to the project's own layers makes
what it is compared with faster or slower. Names of weights are the project's: one state fits both.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

BLOCKS = 9
IMAGE = 3
"""Channels of a picture; in a tensor (1, 3 + N, H, W) its N masks come after them."""


class PublishedGenerator(nn.Module):
    """(1, 3 + N, H, W) -> (1, 3 + N, H, W), picture and masks; N calls for N instances, absent slots are skipped."""

    def __init__(self, ngf: int) -> None:
        super().__init__()
        self.image_encoder, self.mask_encoder = _encoder(IMAGE, ngf), _encoder(1, ngf)
        self.image_decoder, self.mask_decoder = _decoder(8 * ngf, IMAGE), _decoder(12 * ngf, 1)

    def forward(self, x: Tensor) -> Tensor:
        there = present(x)
        of_image = self.image_encoder(x[:, :IMAGE])  # (1, C, h, w)
        of_masks = {slot: self.mask_encoder(_mask(x, slot)) for slot in there}  # each (1, C, h, w)
        of_set = torch.cat(list(of_masks.values())).sum(0, keepdim=True)  # (1, C, h, w)
        made = [self.image_decoder(torch.cat([of_image, of_set], dim=1))]
        for slot in range(x.shape[1] - IMAGE):
            if slot in of_masks:
                made.append(self.mask_decoder(torch.cat([of_masks[slot], of_image, of_set], dim=1)))
            else:
                made.append(_mask(x, slot))
        return torch.cat(made, dim=1)  # (1, 3 + N, H, W)


class PublishedDiscriminator(nn.Module):
    """(1, 3 + N, H, W) -> (1, 1, h, w) scores; each call of a sub-network makes a power step of its spectral norms."""

    def __init__(self, ndf: int, layers: int) -> None:
        super().__init__()
        widths = [ndf * min(2**layer, 8) for layer in range(layers + 1)]
        self.image_features, self.mask_features = _features(IMAGE, widths[:-1]), _features(1, widths[:-1])
        self.classifier = nn.Sequential(
            spectral_norm(nn.Conv2d(2 * widths[-2], 2 * widths[-1], 4, padding=1)),
            nn.InstanceNorm2d(2 * widths[-1]),
            nn.LeakyReLU(0.2, inplace=True),
            spectral_norm(nn.Conv2d(2 * widths[-1], 1, 4, padding=1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        there = present(x)
        of_image = self.image_features(x[:, :IMAGE])  # (1, C, h, w)
        of_set = torch.stack([self.mask_features(_mask(x, slot)) for slot in there]).sum(0)  # (1, C, h, w)
        return self.classifier(torch.cat([of_image, of_set], dim=1))  # (1, 1, h - 2, w - 2)


def present(x: Tensor) -> list[int]:
    """Slots of (1, 3 + N, H, W) that hold an instance, found from the pixels; the first if there is none at all."""
    inside = (x[0, IMAGE:] + 1).mean((1, 2)).tolist()
    return [slot for slot, share in enumerate(inside) if share > 0] or [0]


def _mask(x: Tensor, slot: int) -> Tensor:
    return x[:, IMAGE + slot, None]  # (1, 1, H, W)


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)]
        other = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)]
        self.layers = nn.Sequential(*half, nn.ReLU(inplace=True), *other)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)


def _encoder(channels: int, ngf: int) -> nn.Sequential:
    layers = [nn.ReflectionPad2d(3), nn.Conv2d(channels, ngf, 7), nn.InstanceNorm2d(ngf), nn.ReLU(inplace=True)]
    for width in (ngf, 2 * ngf):
        down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        layers += [down, nn.InstanceNorm2d(2 * width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, *(_Block(4 * ngf) for _ in range(BLOCKS)))


def _decoder(wide: int, channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (wide, wide // 2):
        up = nn.ConvTranspose2d(width, width // 2, 3, stride=2, padding=1, output_padding=1)
        layers += [up, nn.InstanceNorm2d(width // 2), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(wide // 4, channels, 7), nn.Tanh())


def _features(channels: int, widths: list[int]) -> nn.Sequential:
    layers = [spectral_norm(nn.Conv2d(channels, widths[0], 4, stride=2, padding=1)), nn.LeakyReLU(0.2, inplace=True)]
    for narrow, wide in pairwise(widths):
        down = spectral_norm(nn.Conv2d(narrow, wide, 4, stride=2, padding=1))
        layers += [down, nn.InstanceNorm2d(wide), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers)
