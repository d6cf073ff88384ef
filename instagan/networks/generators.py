"""Generators: InstanceBatch -> InstanceBatch of the other domain (paper section 2.1).

``kind`` and ``config`` are what a checkpoint says of a generator: ``instagan.inference.registry`` builds it of them.
"""

from __future__ import annotations

import torch
from torch import nn

from instagan.networks.blocks import RESIDUAL_BLOCKS, RGB, TRANSPOSED, decoder, encoder, unusual
from instagan.networks.owners import sum_by_owner
from instagan.structures.instances import OUTSIDE, InstanceBatch


class SetGenerator(nn.Module):
    """Translates a picture x together with the set of its instance masks a_1 ... a_n.

    image  h_GX(x, a)   = [f_GX(x) ; sum_i f_GA(a_i)]              -> g_GX   permutation invariant
    mask k h_GA^k(x, a) = [f_GA(a_k) ; f_GX(x) ; sum_i f_GA(a_i)]  -> g_GA   permutation equivariant

    Takes and returns the same slots; absent slots stay absent. H and W must be multiples of 4. Any B, any N, any
    number of instances per row: the P present masks of the whole batch go through the networks as one (P, 1, H, W).

    a_i is a mask, or a mask and A more planes, heat maps of keypoints or parts: then (P, 1 + A, H, W) go through.
    """

    kind = "set"

    def __init__(
        self,
        ngf: int = 64,
        norm: str = "instance",
        blocks: int = RESIDUAL_BLOCKS,
        upsample: str = TRANSPOSED,
        attributes: int = 0,
        input_nc: int = RGB,
        output_nc: int = RGB,
    ) -> None:
        """attributes: A, the planes of an instance beside its mask. input_nc, output_nc: channels of the pictures that
        go in and come out."""
        super().__init__()
        self.config = {"ngf": ngf, "norm": norm, "blocks": blocks, **unusual(upsample, input_nc, output_nc)}
        self.config |= {"attributes": attributes} if attributes else {}
        self.attributes, self.input_nc, self.output_nc = attributes, input_nc, output_nc
        self.image_encoder = encoder(input_nc, ngf, norm, blocks)  # f_GX
        self.mask_encoder = encoder(1 + attributes, ngf, norm, blocks)  # f_GA
        self.image_decoder = decoder(8 * ngf, output_nc, norm, upsample)  # g_GX
        self.mask_decoder = decoder(12 * ngf, 1 + attributes, norm, upsample)  # g_GA

    def forward(self, x: InstanceBatch) -> InstanceBatch:
        owner, slot = x.instances()  # (P,), (P,)
        a = x.rasters(self.attributes)  # (B, N, 1 + A, H, W)
        of_image = self.image_encoder(x.image)  # (B, 4 ngf, h, w)
        of_mask = self.mask_encoder(a[owner, slot])  # (P, 4 ngf, h, w)
        of_set = sum_by_owner(of_mask, owner, of_image)  # (B, 4 ngf, h, w)
        h_GX = torch.cat([of_image, of_set], dim=1)  # (B, 8 ngf, h, w)
        h_GA = torch.cat([of_mask, h_GX.index_select(0, owner)], dim=1)  # (P, 12 ngf, h, w): [own ; image ; sum]
        image = self.image_decoder(h_GX)  # (B, C, H, W)
        b = self.mask_decoder(h_GA).to(a)  # (P, 1 + A, H, W)
        rasters = torch.full_like(a, OUTSIDE).index_put((owner, slot), b)  # (B, N, 1 + A, H, W)
        return InstanceBatch.from_rasters(image.to(x.image), rasters, x.present, x.labels)


class ResnetGenerator(nn.Module):
    """Translates pictures only (CycleGAN), or with ``with_union`` the union of the masks as one more channel.

    The second is the ablation "CycleGAN+Seg": any slots go in, one slot (the union) comes out, absent where the
    picture has no instance. Without it no slot comes out. H and W must be multiples of 4.
    """

    kind = "resnet"

    def __init__(
        self,
        ngf: int = 64,
        norm: str = "instance",
        blocks: int = RESIDUAL_BLOCKS,
        with_union: bool = False,
        upsample: str = TRANSPOSED,
        input_nc: int = RGB,
        output_nc: int = RGB,
    ) -> None:
        super().__init__()
        told = unusual(upsample, input_nc, output_nc)
        self.config = {"ngf": ngf, "norm": norm, "blocks": blocks, "with_union": with_union, **told}
        self.input_nc, self.output_nc, self.with_union = input_nc, output_nc, with_union
        self.encoder = encoder(input_nc + with_union, ngf, norm, blocks)
        self.decoder = decoder(4 * ngf, output_nc + with_union, norm, upsample)

    def forward(self, x: InstanceBatch) -> InstanceBatch:
        if not self.with_union:
            return InstanceBatch.from_images(self.decoder(self.encoder(x.image)).to(x.image))
        made = self.decoder(self.encoder(torch.cat([x.image, x.union()], dim=1))).to(x.image)  # (B, C + 1, H, W)
        present = x.present.any(1, keepdim=True)  # (B, 1)
        there = present.to(made.device, non_blocking=True)[:, :, None, None]
        masks = torch.where(there, made[:, -1:], OUTSIDE)  # (B, 1, H, W)
        return InstanceBatch(made[:, :-1], masks, present, torch.zeros_like(masks[:, :, 0, 0], dtype=torch.long))
