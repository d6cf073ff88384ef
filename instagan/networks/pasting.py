"""DUNIT's generator from the annotated domain to the other one: objects, given or found, are pasted into the scene."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from instagan.networks import drit
from instagan.networks.blocks import TRANSPOSED, unusual
from instagan.networks.dunit import InstanceBlocks, InstanceEncoder, Objects, paste, stylised
from instagan.networks.styled import AttributeGenerator
from instagan.structures.instances import InstanceBatch


class PastingGenerator(AttributeGenerator):
    """DRIT's generator in feature-wise mode; objects are encoded and stylised by themselves, and pasted into the scene.

    objects, blocks  what objects are encoded and stylised by
    object_size      side in pixels that an object is brought to
    detector         finds the objects of images of which none is given: ``find``, images (B, 3, H, W) -> the same as
                     an ``InstanceBatch`` with boxes; None: such images are translated as scenes
    """

    kind = "content_attribute_objects"
    decoder: drit.FeatureWiseDecoder  # type: ignore[assignment]
    detector: Any

    def __init__(
        self, content: nn.Module, shared: drit.SharedLayers, style: nn.Module, decoder: drit.FeatureWiseDecoder,
        objects: InstanceEncoder, blocks: InstanceBlocks, object_size: int, detector: nn.Module | None = None,
    ) -> None:  # fmt: skip
        super().__init__(content, shared, style, decoder)
        self.objects, self.blocks, self.object_size, self.detector = objects, blocks, object_size, detector

    @classmethod
    def with_detector(
        cls, ngf: int, style_size: int, object_size: int, detector: nn.Module | None, upsample: str = TRANSPOSED
    ) -> PastingGenerator:
        """The generator of these sizes."""
        encoder = drit.FeatureWiseAttributeEncoder(ngf, style_size)
        decoder = drit.FeatureWiseDecoder(ngf, style_size, upsample)
        shared = drit.SharedLayers(ngf, concat=False)
        objects, blocks = InstanceEncoder(ngf), InstanceBlocks(ngf, style_size)
        return cls(drit.ContentStem(ngf), shared, encoder, decoder, objects, blocks, object_size, detector)

    @property
    def config(self) -> dict[str, Any]:
        sizes = {"ngf": self.shared.channels // 4, "style_size": self.style_size, "object_size": self.object_size}
        found = {f"detector_{name}": value for name, value in self.detector.config.items()} if self.detector else {}
        return {**sizes, **unusual(self.decoder.upsample), **found}

    def forward(self, x: InstanceBatch, style: Any = None) -> InstanceBatch:
        codes = self.codes(style, len(x)).to(x.image).expand(len(x), -1)  # (B, S)
        content = self.shared.content(self.content(x.image))  # (B, C, h, w)
        objects = self.objects_of(x)
        crops = objects.crops(x.image, self.object_size)  # (P, 3, s, s)
        of_objects = self.objects(crops) if len(objects) else None
        made = decoded(self.decoder, content, codes, objects, of_objects, self.blocks)
        return InstanceBatch.from_images(made.to(x.image))

    def objects_of(self, x: InstanceBatch) -> Objects:
        """Those that are given; in images of which none is, those that the detector finds."""
        given, bare = Objects.of(x), (~x.present.any(1)).nonzero()[:, 0]
        if self.detector is None or not len(bare):
            return given
        bare = bare.to(x.image.device)
        found = Objects.of(self.detector.find(x.image[bare]))
        return Objects(torch.cat([given.owner, bare[found.owner]]), torch.cat([given.boxes, found.boxes]))


def decoded(
    decoder: drit.FeatureWiseDecoder, content: Tensor, styles: Tensor, objects: Objects, of_objects: Tensor | None,
    blocks: InstanceBlocks,
) -> Tensor:  # fmt: skip
    """Content of scenes (B, C, h, w) and of their objects (P, C, u, v), styles (B, S) -> images (B, 3, 4 h, 4 w).

    Without any object it is what the decoder makes of the scenes.
    """
    if of_objects is None or not len(objects):
        return decoder(content, styles)
    scenes = stylised(decoder, content, styles)  # (B, C, h, w)
    pasted = blocks(of_objects, styles[objects.owner])  # (P, C, u, v)
    return decoder.tail(paste(scenes, objects, pasted)).to(styles)
