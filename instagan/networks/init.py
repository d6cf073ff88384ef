"""INIT's object branch: content and style of single objects, beside those of the whole scene, which are MUNIT's (Shen,
Huang, Shi, Xue, Huang, Towards Instance-level Image-to-Image Translation, CVPR 2019).

Letters: B scenes, P objects of all scenes, s side of an object's square region in pixels, S numbers of a style,
C = 4 ngf channels of a content map.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from instagan.networks.munit import RESIDUAL_BLOCKS, ContentEncoder, Decoder, StyleEncoder
from instagan.networks.roi_align import roi_align
from instagan.structures.boxes import squared
from instagan.structures.instances import InstanceBatch

STRIDE = 4
"""Pixels of a picture for each cell of a content map."""


@dataclass(frozen=True, eq=False)
class Regions:
    """The objects of a batch. owner (P,) long: the scene of each; boxes (P, 4): a square around it, in pixels; crops
    (P, 3, s, s): what the scene shows there."""

    owner: Tensor
    boxes: Tensor
    crops: Tensor

    @classmethod
    def of(cls, scenes: InstanceBatch, size: int) -> Regions:
        """The present instances of the scenes, cut out at ``size`` x ``size`` pixels, a multiple of 4."""
        owner, slot = scenes.instances()
        height, width = scenes.image.shape[2:]
        boxes = squared(scenes.boxes[owner, slot], width, height)  # (P, 4)
        return cls(owner, boxes, roi_align(scenes.image, owner, boxes, (size, size)))

    def __len__(self) -> int:
        """P."""
        return len(self.owner)


@dataclass(frozen=True, eq=False)
class ObjectContent:
    """What objects are: features (P, C, s/4, s/4)."""

    features: Tensor


@dataclass(frozen=True, eq=False)
class ObjectStyle:
    """How objects look: codes (P, S).

    A style of a scene may be applied to its objects, and ``of_scenes`` makes it one of theirs. A style of an object is
    never applied to a scene: there is no way back, and the decoder of scenes takes codes, not this.
    """

    codes: Tensor

    @classmethod
    def of_scenes(cls, codes: Tensor, owner: Tensor) -> ObjectStyle:
        """Styles of scenes (B, S), for the objects that belong to them; owner (P,)."""
        return cls(codes[owner])


class ObjectNetworks(nn.Module):
    """The object branch's own layers in one domain: residual blocks of the content, AdaIN's numbers, residual blocks of
    the decoder; used by ``ObjectBranch``.

    separate: a stem, a style encoder and a decoder's tail, too, which objects else share with scenes.
    """

    def __init__(
        self,
        ngf: int = 64,
        blocks: int = RESIDUAL_BLOCKS,
        style_size: int = 8,
        mlp_width: int = 256,
        separate: bool = False,
    ) -> None:
        super().__init__()
        content, decoder = ContentEncoder(ngf, blocks), Decoder(ngf, blocks, style_size, mlp_width)
        self.blocks, self.mlp, self.adaptive_blocks = content.blocks, decoder.mlp, decoder.blocks
        self.own = nn.ModuleDict()
        if separate:
            self.own.update({"stem": content.stem, "style": StyleEncoder(ngf, style_size), "tail": decoder.tail})


class ObjectBranch:
    """Encodes and decodes the objects of one domain.

    Objects share the stem and the style encoder with scenes, and the tail of their decoder: that is how learning them
    makes the translation of scenes better. With ``separate`` networks nothing is shared.
    """

    def __init__(
        self, networks: ObjectNetworks, content: ContentEncoder, style: StyleEncoder, decoder: Decoder
    ) -> None:  # fmt: skip
        """content, style, decoder: those of scenes."""
        self.networks, self.shared = networks, len(networks.own) == 0
        parts = {"stem": content.stem, "style": style, "tail": decoder.tail} if self.shared else networks.own
        self.stem, self.style, self.tail = parts["stem"], parts["style"], parts["tail"]

    def encode(self, scenes: Tensor, regions: Regions) -> tuple[ObjectContent, ObjectStyle]:
        """Objects within their scenes (B, 3, H, W): their content is cut out of the scenes' features, their style is
        that of their crops."""
        if not self.shared:
            return self.encode_crops(regions.crops)
        side = regions.crops.shape[2] // STRIDE
        features = roi_align(self.stem(scenes), regions.owner, regions.boxes, (side, side), 1 / STRIDE)
        return ObjectContent(self.networks.blocks(features)), ObjectStyle(self.style(regions.crops))

    def encode_crops(self, crops: Tensor) -> tuple[ObjectContent, ObjectStyle]:
        """Objects (P, 3, s, s) as pictures of their own, as translated ones are."""
        return ObjectContent(self.networks.blocks(self.stem(crops))), ObjectStyle(self.style(crops))

    def decode(self, content: ObjectContent, style: ObjectStyle) -> Tensor:
        """Objects as pictures (P, 3, s, s) in [-1, 1]."""
        blocks, features = self.networks.adaptive_blocks, content.features
        numbers = self.networks.mlp(style.codes).chunk(len(blocks), dim=1)  # (P, 4 C) for each block
        for block, of_block in zip(blocks, numbers, strict=True):
            features = block(features, of_block)  # (P, C, s/4, s/4)
        return self.tail(features).to(style.codes)  # (P, 3, s, s)
