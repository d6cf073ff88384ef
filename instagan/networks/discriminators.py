"""Discriminators: InstanceBatch -> map of raw patch scores (paper section 2.1; higher means more real)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from instagan.networks.blocks import RGB, patch_classifier, patch_features, patch_width
from instagan.networks.owners import sum_by_owner
from instagan.structures.instances import InstanceBatch


class SetDiscriminator(nn.Module):
    """Scores a picture together with the set of its masks: h_DX(x, a) = [f_DX(x) ; sum_i f_DA(a_i)] -> g_DX.

    Returns (B, 1, H/2^layers - 2, W/2^layers - 2). All convolutions are spectrally normalised. In training mode
    the norm's power iteration makes one step each time the weights are computed: score real and fake within
    ``torch.nn.utils.parametrize.cached()`` to compute them once per update.
    """

    def __init__(
        self, ndf: int = 64, layers: int = 3, norm: str = "instance", attributes: int = 0, channels: int = RGB
    ) -> None:
        """attributes: planes of an instance beside its mask. channels: of the pictures."""
        super().__init__()
        self.attributes = attributes
        width = patch_width(ndf, layers - 1)
        self.image_features = patch_features(channels, ndf, layers, norm, spectral_norm)  # f_DX
        self.mask_features = patch_features(1 + attributes, ndf, layers, norm, spectral_norm)  # f_DA
        self.classifier = patch_classifier(2 * width, 2 * patch_width(ndf, layers), norm, spectral_norm)  # g_DX

    def forward(self, x: InstanceBatch) -> Tensor:
        owner, slot = x.instances()  # (P,), (P,)
        of_image = self.image_features(x.image)  # (B, C, h, w)
        of_mask = self.mask_features(x.rasters(self.attributes)[owner, slot])  # (P, C, h, w)
        of_set = sum_by_owner(of_mask, owner, of_image)  # (B, C, h, w)
        h_DX = torch.cat([of_image, of_set], dim=1)  # (B, 2 C, h, w)
        return self.classifier(h_DX).to(x.image)  # (B, 1, h - 2, w - 2)


class PatchDiscriminator(nn.Module):
    """The 70x70 PatchGAN of CycleGAN on the picture, or with ``with_union`` on picture and union of the masks.

    Returns (B, 1, H/2^layers - 2, W/2^layers - 2); no spectral norm.
    """

    def __init__(
        self, ndf: int = 64, layers: int = 3, norm: str = "instance", with_union: bool = False, channels: int = RGB
    ) -> None:
        """channels: of the pictures."""
        super().__init__()
        self.with_union = with_union
        self.features = patch_features(channels + with_union, ndf, layers, norm, nn.Identity())
        self.classifier = patch_classifier(patch_width(ndf, layers - 1), patch_width(ndf, layers), norm, nn.Identity())

    def forward(self, x: InstanceBatch) -> Tensor:
        seen = torch.cat([x.image, x.union()], dim=1) if self.with_union else x.image  # (B, C or C + 1, H, W)
        return self.classifier(self.features(seen)).to(x.image)  # (B, 1, h - 2, w - 2)


def smallest_side(layers: int) -> int:
    """Shortest picture side in pixels that leaves the patch classifier a score: three features in each direction."""
    return 3 * int(2**layers)
