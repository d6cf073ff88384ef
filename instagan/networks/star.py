"""Networks of many domains: every instance is translated to a category of its own, and the discriminator tells it.

Letters: K categories, P present instances of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from instagan.networks.blocks import (
    RESIDUAL_BLOCKS,
    SIZE_MULTIPLE,
    TRANSPOSED,
    decoder,
    encoder,
    patch_classifier,
    patch_features,
    patch_width,
    unusual,
)
from instagan.networks.owners import sum_by_owner
from instagan.structures.instances import OUTSIDE, InstanceBatch


def one_hot(labels: Tensor, count: int) -> Tensor:
    """(...) long -> (..., count) float, all 0 for a label beyond them; does not wait for the device."""
    return (labels[..., None] == torch.arange(count, device=labels.device)).float()


class TargetedSetGenerator(nn.Module):
    """Translates a picture x with the set of pairs (a_i, t_i): instance masks, and the category each is to become.

    w_i = [t_i is category k] within a_i, 0 elsewhere                (K planes), what is wished for where
    u_i = [f_GA(a_i, w_i) ; w_i]   v = f_GX(x, sum_i w_i)            features of a pair, and of the picture
    image   [v ; sum_i u_i]       -> g_GX                            invariant to permutations of the pairs
    mask k  [u_k ; v ; sum_i u_i] -> g_GA                            equivariant

    A plane that is the same everywhere would be lost in the first instance norm; within its instance it is not. The
    slots come out with their targets as labels; absent ones stay absent. H and W must be multiples of 4.
    """

    kind = "targeted_set"

    def __init__(
        self, ngf: int, norm: str, blocks: int = RESIDUAL_BLOCKS, categories: str = "", attributes: int = 0,
        upsample: str = TRANSPOSED,
    ) -> None:  # fmt: skip
        """categories: their names in the order of the labels, separated by commas, as they are typed. attributes: A,
        the planes of an instance beside its mask. upsample: out of ``UPSAMPLING``."""
        super().__init__()
        self.config = {"ngf": ngf, "norm": norm, "blocks": blocks, "categories": categories}
        self.config |= {"attributes": attributes} if attributes else {}
        self.config |= unusual(upsample)
        self.attributes = attributes
        self.categories = split_categories(categories)
        self.count = count = len(self.categories)
        self.image_encoder = encoder(3 + count, ngf, norm, blocks)  # f_GX
        self.mask_encoder = encoder(1 + attributes + count, ngf, norm, blocks)  # f_GA
        self.image_decoder = decoder(8 * ngf + count, 3, norm, upsample)  # g_GX
        self.mask_decoder = decoder(12 * ngf + 2 * count, 1 + attributes, norm, upsample)  # g_GA

    def forward(self, x: InstanceBatch) -> InstanceBatch:
        if x.targets is None:
            raise ValueError("the batch must carry targets")
        owner, slot = x.instances()  # (P,), (P,)
        of_slots = x.rasters(self.attributes)  # (B, N, 1 + A, H, W)
        a = of_slots[owner, slot]  # (P, 1 + A, H, W): a mask, and what else is told
        w = (a[:, :1] + 1) / 2 * one_hot(x.targets[owner, slot], self.count).to(a)[:, :, None, None]  # (P, K, H, W)
        of_wishes = sum_by_owner(w, owner, x.image.new_zeros(len(x), self.count, *x.image.shape[2:]))  # (B, K, H, W)
        v = self.image_encoder(torch.cat([x.image, of_wishes], dim=1))  # (B, 4 ngf, h, w)
        of_mask = self.mask_encoder(torch.cat([a, w], dim=1))  # (P, 4 ngf, h, w)
        small = functional.avg_pool2d(w, SIZE_MULTIPLE).to(of_mask)  # (P, K, h, w)
        u = torch.cat([of_mask, small], dim=1)  # (P, 4 ngf + K, h, w)
        of_set = sum_by_owner(u, owner, v.new_zeros(len(x), *u.shape[1:]))  # (B, 4 ngf + K, h, w)
        h_GX = torch.cat([v, of_set], dim=1)  # (B, 8 ngf + K, h, w)
        h_GA = torch.cat([u, h_GX.index_select(0, owner)], dim=1)  # (P, 12 ngf + 2 K, h, w)
        image = self.image_decoder(h_GX)  # (B, 3, H, W)
        b = self.mask_decoder(h_GA).to(a)  # (P, 1 + A, H, W)
        rasters = torch.full_like(of_slots, OUTSIDE).index_put((owner, slot), b)  # (B, N, 1 + A, H, W)
        made = InstanceBatch.from_rasters(image.to(x.image), rasters, x.present, x.targets)
        return replace(made, targets=x.targets)


@dataclass(frozen=True, eq=False)
class Judgement:
    """score (B, 1, h, w): how real each patch is. Logits of the K categories: of_picture (B, K), for each by itself
    whether the picture shows it; of_look and of_mask (P, K), which one an instance looks like, and its mask."""

    score: Tensor
    of_picture: Tensor
    of_look: Tensor
    of_mask: Tensor


class ClassifyingSetDiscriminator(nn.Module):
    """Scores a picture with the set of its masks, and tells the categories of the picture and of each instance.

    The features of the image are averaged within an instance's mask, through which no gradient goes: where one looks
    is no way to look better. Its mask is classified by itself, so that the shape must fit the category, not only the
    colours. Convolutions of features and scores are spectrally normalised.
    """

    def __init__(self, ndf: int, layers: int, norm: str, count: int, attributes: int = 0) -> None:
        """attributes: planes of an instance beside its mask."""
        super().__init__()
        self.attributes = attributes
        width = patch_width(ndf, layers - 1)
        self.image_features = patch_features(3, ndf, layers, norm, spectral_norm)  # f_DX
        self.mask_features = patch_features(1 + attributes, ndf, layers, norm, spectral_norm)  # f_DA
        self.classifier = patch_classifier(2 * width, 2 * patch_width(ndf, layers), norm, spectral_norm)  # g_DX
        self.look, self.shape = head_features(width), head_features(width)
        self.to_picture, self.to_look, self.to_mask = (nn.Linear(2 * width, count) for _ in range(3))

    def forward(self, x: InstanceBatch) -> Judgement:
        owner, slot = x.instances()  # (P,), (P,)
        a = x.rasters(self.attributes)[owner, slot]  # (P, 1 + A, H, W)
        of_image, of_mask = self.image_features(x.image), self.mask_features(a)  # (B, C, h, w), (P, C, h, w)
        of_set = sum_by_owner(of_mask, owner, of_image)  # (B, C, h, w)
        score = self.classifier(torch.cat([of_image, of_set], dim=1)).to(x.image)  # (B, 1, h - 2, w - 2)
        look = self.look(of_image).to(x.image)  # (B, 2 C, h, w); means and linear layers keep the picture's precision
        shape = self.shape(of_mask).to(x.image)  # (P, 2 C, h, w)
        within = functional.adaptive_avg_pool2d((a[:, :1].detach() + 1) / 2, look.shape[2:])  # (P, 1, h, w)
        return Judgement(
            score,
            self.to_picture(look.mean((2, 3))),
            self.to_look(mean_within(look.index_select(0, owner), within)),
            self.to_mask(mean_within(shape, within)),
        )


def head_features(width: int) -> nn.Sequential:
    """(B, width, h, w) -> (B, 2 width, h, w)."""
    return nn.Sequential(nn.Conv2d(width, 2 * width, 3, padding=1), nn.LeakyReLU(0.2, inplace=True))


def mean_within(features: Tensor, within: Tensor) -> Tensor:
    """Mean of (P, C, h, w) weighted by (P, 1, h, w), not negative; 0 where nothing weighs: (P, C)."""
    return (features * within).sum((2, 3)) / within.sum((2, 3)).clamp(min=1e-3)


def split_categories(typed: str) -> tuple[str, ...]:
    return tuple(name for name in typed.split(",") if name)
