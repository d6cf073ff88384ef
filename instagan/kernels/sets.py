"""The networks of sets, with what all masks of an image share computed once, and long sets in chunks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from instagan.kernels.convolution import ConvTranspose2d
from instagan.kernels.names import ALL, hooked
from instagan.kernels.rows import add_of_owner, sum_by_owner
from instagan.kernels.stack import Stack
from instagan.networks import discriminators, generators, owners
from instagan.structures.instances import OUTSIDE, InstanceBatch

CHUNK = 4
"""Masks per image that a discriminator looks at at a time."""


class SetGenerator(generators.SetGenerator):
    """Does not build h_GA = [own ; image ; sum], whose last two thirds all masks of an image have in common.

    The first layer of the mask decoder is linear: what it makes of these two thirds is computed once for an image.
    """

    kernels = ALL

    def forward(self, x: InstanceBatch) -> InstanceBatch:
        if "set_features" not in self.kernels or torch.compiler.is_compiling() or not _splittable(self.mask_decoder):
            return super().forward(x)
        owner, slot = x.instances()  # (P,), (P,)
        a = x.rasters(self.attributes)  # (B, N, 1 + A, H, W)
        of_image = self.image_encoder(x.image)  # (B, 4 ngf, h, w)
        of_mask = self.mask_encoder(a[owner, slot])  # (P, 4 ngf, h, w)
        of_set = sum_by_owner(of_mask, owner, of_image)  # (B, 4 ngf, h, w)
        h_GX = torch.cat([of_image, of_set], dim=1)  # (B, 8 ngf, h, w)
        image = self.image_decoder(h_GX)  # (B, 3, H, W)
        b = _decoded(self.mask_decoder, of_mask, h_GX, owner if len(x) > 1 else None).to(a)  # (P, 1 + A, H, W)
        rasters = torch.full_like(a, OUTSIDE).index_put((owner, slot), b)  # (B, N, 1 + A, H, W)
        return InstanceBatch.from_rasters(image.to(x.image), rasters, x.present, x.labels)


class SetDiscriminator(discriminators.SetDiscriminator):
    """Looks at the masks in chunks: memory does not grow with the set."""

    kernels = ALL

    def forward(self, x: InstanceBatch) -> Tensor:
        if torch.compiler.is_compiling() or not isinstance(self.mask_features, Stack):
            return super().forward(x)
        owner, slot = x.instances()  # (P,), (P,)
        of_image = self.image_features(x.image)  # (B, C, h, w)
        chunk = CHUNK * len(x) if "chunks" in self.kernels else None
        of_mask = self.mask_features(x.rasters(self.attributes)[owner, slot], chunk=chunk)  # (P, C, h, w)
        add_up = sum_by_owner if "set_features" in self.kernels else owners.sum_by_owner
        of_set = add_up(of_mask, owner, of_image)  # (B, C, h, w)
        return self.classifier(torch.cat([of_image, of_set], dim=1)).to(x.image)  # (B, 1, h - 2, w - 2)


def _splittable(decoder: nn.Module) -> bool:
    """Whether the parts of the first layer's input can be convolved one by one: nobody waits for the input itself."""
    if not isinstance(decoder, Stack) or hooked(decoder) or hooked(decoder[0]):
        return False
    return isinstance(decoder[0], ConvTranspose2d)


def _decoded(decoder: nn.Module, own: Tensor, shared: Tensor, owner: Tensor | None) -> Tensor:
    """own (P, C, h, w), shared (B, C', h, w), owner (P,): decodes [own_k ; shared of owner_k]. None: B is 1."""
    assert isinstance(decoder, Stack)
    first = decoder[0]
    assert isinstance(first, ConvTranspose2d)
    with decoder.autocast(own.device.type):
        features, of_shared = first.of_parts(own, shared)
    return decoder.run_from(1, add_of_owner(features, of_shared, owner))
