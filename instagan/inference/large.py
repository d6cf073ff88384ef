"""Pictures that are larger than what the networks are to see: translated shrunk, put back at full resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from instagan.inference.inputs import Source, batch_of
from instagan.inference.network import Network
from instagan.inference.windows import CONTEXT, Window, around, fading, whole
from instagan.io.boxes import CROP_CONTEXT
from instagan.io.pasting import FEATHER, Seam, paste_onto
from instagan.io.pixels import resized, to_pixels
from instagan.structures.instances import InstanceBatch

CROP_SIDE = 256
"""What a crop is shrunk to, at most, where a model does not tell at which size it was trained."""


@dataclass(frozen=True)
class TranslateConfig:
    """How pictures are translated other than at once and as they are.

    max_side         longer side in pixels at which the networks see a picture, or a crop; None: as large as it is, a
                     crop at most ``crop_side``
    crop_instances   whether they see one crop after the other, each around a few instances
    paste_background whether every pixel that belongs to nobody is the input's, as it always is where the networks see
                     less than the picture
    feather          pixels over which the edges fade; None: 4 of the pixels that the networks saw
    context          how much of its longer side an instance has around it in a crop
    whole_levels     whether pixels are 256 levels, and not floats
    """

    max_side: int | None = None
    crop_instances: bool = False
    paste_background: bool = False
    feather: int | None = None
    crop_side: int = CROP_SIDE
    context: float = CONTEXT
    whole_levels: bool = True

    @classmethod
    def as_trained(cls, told: Mapping[str, Any], **asked: Any) -> TranslateConfig:
        """told: ``INFERENCE_OPTIONS`` of a run. A crop is as large as in training, where that is known, and of a model
        that was trained on windows (--instance_crops) as they were."""
        sides = [int(told[name]) for name in ("fine_size_w", "fine_size_h") if name in told]
        context = CROP_CONTEXT if told.get("instance_crops") else CONTEXT
        return cls(**asked, crop_side=max(sides, default=CROP_SIDE), context=context)

    def needed_for(self, source: Source) -> bool:
        """Whether the networks see this picture other than at once and as it is."""
        if self.crop_instances:
            return len(source.inside) > 0
        return self.max_side is not None and max(source.size) > self.max_side


@dataclass(frozen=True, eq=False)
class Pasted:
    """pixels (H, W, C) uint8, or floats in [0, 1]; levels (N, H, W) uint8, of each slot, 0 or 255; present (N,)."""

    pixels: np.ndarray
    levels: np.ndarray
    present: tuple[bool, ...]
    seam: Seam


def translate_large(
    network: Network,
    source: Source,
    config: TranslateConfig,
    ins_per: int | None,
    ins_max: int | None,
    in_order: bool,
    style: Tensor | InstanceBatch | None = None,
) -> Pasted:
    """The instances' pixels from the networks, everything else from the picture, bit for bit beyond the feathered edge.

    Crops follow one another as sequential mini-batches do, each on what the last one left. A method that knows no
    instances gives one mask or none, and without masks the whole picture, enlarged. style: the same for all crops.
    """
    side = config.max_side or (config.crop_side if config.crop_instances else max(source.size))
    pixels = np.array(source.levels if config.whole_levels else source.shares)  # (H, W, C)
    slots = len(source.inside) if network.knows_instances else int(network.gives_masks)
    levels = np.zeros((slots, *source.size), np.uint8)
    present = np.zeros(slots, bool)
    sums = np.zeros((4, 2))
    for window in _windows(network, source, config, side, ins_per, ins_max, in_order):
        place, members = window.box.place, list(window.members)
        lines, columns = place
        belonging = source.inside[:, lines, columns][members]  # (M, h, w)
        seen = _shrunk(_members(source, members, np.array(pixels[place]), belonging), window.seen(side))
        made = network.run(batch_of(seen), ins_per, ins_max, in_order, style)
        translated, masks = _enlarged(seen, made, (window.box.width, window.box.height), config.whole_levels)
        there = made.present[0].numpy()
        union = _union(belonging, masks, there, network.knows_instances)
        feather = round(FEATHER * window.scale(side)) if config.feather is None else config.feather
        sums += paste_onto(pixels[place], translated, union, feather, fading(window.box, source.size, feather))
        for slot, number in enumerate(members if network.knows_instances else range(slots)):
            kept = levels[number][place]
            np.maximum(kept, masks[slot], out=kept)
            present[number] |= there[slot]
    return Pasted(pixels, levels, tuple(present.tolist()), Seam.of(sums))


def _windows(
    network: Network,
    source: Source,
    config: TranslateConfig,
    side: int,
    ins_per: int | None,
    ins_max: int | None,
    in_order: bool,
) -> list[Window]:
    """Where the networks look, in turn; nowhere, if there is nobody to translate."""
    areas = source.inside.sum((1, 2))  # (N,)
    order = [number for number in range(len(areas)) if areas[number] > 0]
    if not order and network.knows_instances:
        return []
    if not config.crop_instances:
        return [whole(source.size, range(len(areas)))]
    if network.translator.set_order == "decreasing" and not in_order:
        order.sort(key=lambda number: -areas[number])
    if source.ranks is not None:
        order.sort(key=source.ranks.__getitem__)
    return around(source.inside, order[:ins_max], ins_per or network.ins_per, side, config.context)


def _members(source: Source, members: Sequence[int], pixels: np.ndarray, inside: np.ndarray) -> Source:
    """A part of a picture, as it is by now, with some of its instances."""

    def theirs(of_each: Any) -> Any:
        return None if of_each is None else tuple(of_each[number] for number in members)

    told = (source.labels, source.strengths, source.ranks, source.targets)
    return Source(pixels, inside, *map(theirs, told))


def _shrunk(part: Source, size: tuple[int, int]) -> Source:
    """A part of a picture at width x height. An instance never vanishes: what is left of it is where it was most."""
    pixels, inside = part.pixels, part.inside
    if size == pixels.shape[1::-1]:
        return part
    found = np.zeros((len(inside), size[1], size[0]), bool)
    for mask, row in zip(inside, found, strict=True):
        share = np.asarray(Image.fromarray(mask.view(np.uint8) * np.uint8(255)).resize(size, Image.Resampling.BOX))
        np.greater_equal(share, min(128, max(int(share.max()), 1)), out=row)
    return replace(part, pixels=resized(pixels, size), inside=found)


def _enlarged(
    seen: Source, made: InstanceBatch, size: tuple[int, int], whole_levels: bool
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Picture (h, w, C) and masks (h, w), 0 or 255, at width x height, of a batch of one."""
    cut = seen.widening.cut
    picture = resized(np.ascontiguousarray(to_pixels(cut(made.image[0]), whole_levels)), size)
    masks = [_mask_at(mask, size) for mask in cut(made.masks[0])]
    return picture if whole_levels else picture.clip(0, 1), masks


def _mask_at(mask: Tensor, size: tuple[int, int]) -> np.ndarray:
    """The pixels (h, w) inside of a soft mask as 255, others as 0; its outline is that of the enlarged soft mask."""
    large = np.asarray(Image.fromarray(mask.float().numpy()).resize(size, Image.Resampling.BILINEAR))
    return np.where(large > 0, np.uint8(255), np.uint8(0))


def _union(belonging: np.ndarray, masks: Sequence[np.ndarray], there: np.ndarray, by_instance: bool) -> np.ndarray:
    """What belongs to anybody that was translated, before or after; all where a method has no masks to go by."""
    union = np.full(belonging.shape[1:], not len(belonging), bool)  # (h, w)
    for number, mask in enumerate(belonging):
        if not by_instance or there[number]:
            union |= mask
    for number, mask in enumerate(masks):
        if there[number]:
            union |= mask > 0
    return union
