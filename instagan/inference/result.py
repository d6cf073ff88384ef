"""What a translation gives back: at the input's size, in the input's order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from instagan.inference.inputs import Source
from instagan.io.pasting import Seam


@dataclass(frozen=True, eq=False)
class Translation:
    """The translated picture and its masks.

    picture    RGB, of the input's size; of images that are no RGB pictures of 8 bits, how they are shown
    masks      mode L, 255 inside and 0 outside: mask k is the translation of the input's mask k, all 0 where that was
               empty or not translated. A method that knows one mask at most (CycleGAN+Seg) gives the union of all,
               one that knows none (CycleGAN) gives none.
    present    whether each mask was translated
    unchanged  whether the picture is the input's, pixel for pixel, because there was no instance to translate
    seam       how much it differs from the input, where the background is the input's
    note       what the user should know, in a sentence; empty if there is nothing
    values     (H, W, C) in the type and range of the files that the model was trained to give, where those are no RGB
               pictures of 8 bits: ``instagan.io.value_files`` writes them
    image      (C, H, W) float32 in [-1, 1], if tensors are asked for
    soft_masks (N, H, W) float32 in [-1, 1], inside is above 0; if tensors are asked for
    keypoints  (N, K, 3) x, y in pixels of the picture, and visibility, 2 or 0; of a model of keypoints
    parts      (N, H, W) uint8, 0 outside, 1, 2, ... in parts; of a model of parts
    """

    picture: Image.Image
    masks: list[Image.Image]
    present: tuple[bool, ...]
    unchanged: bool
    note: str = ""
    values: np.ndarray | None = None
    seam: Seam | None = None
    image: Tensor | None = None
    soft_masks: Tensor | None = None
    keypoints: np.ndarray | None = None
    parts: np.ndarray | None = None

    @property
    def inside(self) -> np.ndarray:
        """The masks as one array (N, H, W) bool."""
        width, height = self.picture.size
        inside = np.empty((len(self.masks), height, width), bool)
        for mask, row in zip(self.masks, inside, strict=True):
            np.greater(np.asarray(mask), 0, out=row)
        return inside


def belonging(source: Source, made: Translation) -> Iterator[np.ndarray]:
    """Masks (H, W) bool of what was translated, and of what became of it: all where a method has no order."""
    kept = made.present if len(made.present) == len(source.inside) else None
    for number, mask in enumerate(source.inside):
        if kept is None or kept[number]:
            yield mask
    for number, picture in enumerate(made.masks):
        if kept is None or kept[number]:
            yield np.asarray(picture) > 0
