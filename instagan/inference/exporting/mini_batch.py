"""What other runtimes are given: one mini-batch of a sequential translation as a function of plain tensors.

set networks    image (1, C, H, W), masks (N, H, W)  ->  translated (1, C, H, W), translated_masks (N, H, W)
CycleGAN+Seg    the same, but translated_masks (1, H, W): the union
CycleGAN        image  ->  translated
with styles     image, style (1, S)  ->  translated

All in [-1, 1], but for the S numbers of a style, which are from N(0, I), or a memory's own, which the model card tells;
C is 3 unless the model was trained on other images; N >= 1 instances that all exist; H and W multiples of 4, 8 to
16384. How many instances go in at a time is the caller's choice, so that neither a loop nor an order is baked into the
file: docs/using.md has the loop.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from instagan.errors import InputError
from instagan.inference.sizes import SMALLEST_SIDE
from instagan.networks.blocks import SIZE_MULTIPLE
from instagan.networks.generators import SetGenerator
from instagan.networks.pasting import PastingGenerator
from instagan.networks.star import TargetedSetGenerator
from instagan.structures.instances import InstanceBatch

LARGEST_SIDE = 16384
MOST_INSTANCES = 4096


class MiniBatch(nn.Module):
    """A function of plain tensors. inputs, outputs: the names of what goes in and comes out, in their order.

    style_size: S, where "style" is among the inputs. channels: of the image that goes in.
    """

    inputs: tuple[str, ...] = ("image", "masks")
    outputs: tuple[str, ...] = ("translated", "translated_masks")
    style_size: int = 0
    channels: int = 3


class OfSet(MiniBatch):
    """``SetGenerator`` for one picture whose slots all hold an instance: nothing is gathered by what is present."""

    def __init__(self, generator: SetGenerator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        of_image = self.generator.image_encoder(image)  # (1, C, h, w)
        of_mask = self.generator.mask_encoder(masks[:, None])  # (N, C, h, w)
        h_GX = torch.cat([of_image, of_mask.sum(0, keepdim=True)], dim=1)  # (1, 2 C, h, w)
        h_GA = torch.cat([of_mask, h_GX.expand(of_mask.shape[0], -1, -1, -1)], dim=1)  # (N, 3 C, h, w)
        return self.generator.image_decoder(h_GX), self.generator.mask_decoder(h_GA)[:, 0]  # (1, 3, H, W), (N, H, W)


class OfUnion(MiniBatch):
    """``ResnetGenerator`` with the union of the masks."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        made = self.generator(all_present(image, masks))
        return made.image, made.masks[0]


class OfPicture(MiniBatch):
    """A generator of pictures alone."""

    inputs, outputs = ("image",), ("translated",)

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (self.generator(InstanceBatch.from_images(image)).image,)


class OfStyle(MiniBatch):
    """A generator with a style, as numbers; an encoder of example images is left out."""

    inputs, outputs = ("image", "style"), ("translated",)

    def __init__(self, generator: Any) -> None:
        super().__init__()
        self.generator, self.style_size = copy(generator), generator.style_size
        if "style" in generator._modules:
            self.generator._modules = {**generator._modules, "style": nn.Identity()}

    def forward(self, image: Tensor, style: Tensor) -> tuple[Tensor]:
        return (self.generator.made(image, style),)  # (1, 3, H, W)


def all_present(image: Tensor, masks: Tensor) -> InstanceBatch:
    """image (1, 3, H, W), masks (N, H, W), each of an instance."""
    present = torch.ones(1, masks.shape[0], dtype=torch.bool)
    return InstanceBatch(image, masks[None], present, torch.zeros_like(present, dtype=torch.long))


def mini_batch_of(generator: nn.Module) -> MiniBatch:
    """The function that belongs to a generator; its weights are shared. Raises ``InputError`` where there is none."""
    if isinstance(generator, PastingGenerator):
        raise InputError("a graph cannot look for objects and paste as many as there are; export to safetensors")
    if isinstance(generator, TargetedSetGenerator):
        raise InputError("onnx and torch_export know no targets of instances; use safetensors for this model")
    if getattr(generator, "attributes", 0):
        raise InputError("onnx and torch_export know no keypoints or parts; use safetensors for this model")
    if isinstance(generator, SetGenerator):
        function: MiniBatch = OfSet(generator)
    elif hasattr(generator, "style_size"):
        function = OfStyle(generator)
    else:
        function = OfUnion(generator) if getattr(generator, "with_union", False) else OfPicture(generator)
    function.channels = int(getattr(generator, "input_nc", 3))
    return function.eval()


def traced(function: MiniBatch) -> ExportedProgram:
    """The function as a graph of torch's operations, for any height, width and number of instances."""
    height, width = (
        Dim(name, min=SMALLEST_SIDE // SIZE_MULTIPLE, max=LARGEST_SIDE // SIZE_MULTIPLE) * SIZE_MULTIPLE
        for name in ("height", "width")
    )
    instances = Dim("instances", min=1, max=MOST_INSTANCES)
    shapes: dict[str, Any] = {
        "image": {2: height, 3: width},
        "masks": {0: instances, 1: height, 2: width},
        "style": {},
    }
    examples = {  # no two sizes alike, and no 1 where another number may come
        "image": torch.zeros(1, function.channels, 32, 48),
        "masks": torch.zeros(3, 32, 48),
        "style": torch.zeros(1, function.style_size),
    }
    taken, shapes = ({name: of[name] for name in function.inputs} for of in (examples, shapes))
    return torch.export.export(function, tuple(taken.values()), dynamic_shapes=shapes, strict=False)
