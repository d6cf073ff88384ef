"""ONE drawn resize + crop + flip, applied to a picture and all its masks, boxes and keypoints."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from data.instance_crops import Box, draw_window
from instagan.errors import InputError
from instagan.structures.boxes import clip, flip, scale, share_kept, shift

MODES = ("resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none")
Size = tuple[int, int]
"""Width and height in pixels, in this order, as PIL has it."""


@dataclass(frozen=True)
class Framing:
    """How pictures of a data set are brought to the size that the networks see.

    mode      resize_and_crop: resize to ``load``, crop ``fine``. crop: crop ``fine``. scale_width: resize to the
              width of ``load``, height in proportion. scale_width_and_crop: the same, then crop ``fine``. none: as
              it is. The two without a crop round both sides down to multiples of ``multiple``.
    random    draw crop and flip (training); otherwise the crop is central and nothing is flipped
    flip      whether half of the random placements are mirrored
    smallest  shortest side in pixels that the networks can work with
    least_share  an instance is left out if the crop leaves less than this share of its box's area, in [0, 1]; whatever
              it is, an instance of which nothing is left is left out
    least_side  an instance is left out if a side of what is left of its box is shorter than this share, in [0, 1], of
              the shorter side of the placed picture
    most      of the instances that are kept, at most so many: the first ones in their order, which is drawn in
              training; None: all
    boxes_only  instances are told by their boxes alone, also where the data has masks
    around_instances  the crop is a window around an instance that is drawn, larger or smaller where it must be
                (``data.instance_crops``) and resized to ``fine``; its instance comes first and is never left out
    keypoints   how many keypoints each instance has; 0: nobody looks at them
    parts       of how many parts each instance is, by which it is read in place of its mask; 0: nobody looks at them
    """

    mode: str
    load: Size
    fine: Size
    random: bool
    flip: bool
    multiple: int = 4
    smallest: int = 8
    least_share: float = 0.0
    least_side: float = 0.0
    most: int | None = None
    boxes_only: bool = False
    around_instances: bool = False
    keypoints: int = 0
    parts: int = 0

    @property
    def looks_at_boxes(self) -> bool:
        """Whether samples need the boxes of their instances, also where the data has masks."""
        leaves_out = self.least_share > 0 or self.least_side > 0 or self.most is not None
        return self.boxes_only or self.around_instances or leaves_out

    def kept(self, boxes: Tensor, share: Tensor, placement: Placement) -> Tensor:
        """Placed boxes (n, 4), and how much of each the crop has left (n,) -> (n,) bool: those that are not left out.
        Without any, (0,)."""
        sides = torch.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])  # (n,)
        shortest = self.least_side * min(placement.size)
        kept = (share > 0) & (share >= self.least_share) & (sides >= shortest)
        if self.around_instances:
            kept[:1] = share[:1] > 0
        return kept if self.most is None else kept & (kept.cumsum(0) <= self.most)

    @property
    def resizing(self) -> tuple[str | Size | int, ...]:
        """All that decoded pictures and masks depend on, beside the files."""
        return (self.mode, self.load, self.multiple, *([self.parts] if self.parts else []))

    def resized(self, size: Size) -> Size:
        """What a picture of ``size`` is resized to: the same for all its placements."""
        width, height = size
        if self.mode == "resize_and_crop":
            width, height = self.load
        elif self.mode.startswith("scale_width"):
            width, height = self.load[0], max(1, round(height * self.load[0] / width))
        if not self.mode.endswith("crop"):
            width, height = (max(side // self.multiple, 1) * self.multiple for side in (width, height))
        return width, height

    def draw(self, size: Size, random: np.random.Generator, name: str = "picture", box: Box | None = None) -> Placement:
        """The placement of a picture of ``size``. Raises ``InputError`` naming it if it is too small.

        box: around the instance that the crop is to show, in pixels of the resized picture, with ``around_instances``.
        """
        width, height = self.resized(size)
        if self.around_instances:
            left, top, right, bottom = draw_window((width, height), self.fine, box, random)
            flip = self.flip and bool(random.integers(2))
            shown = None if (right - left, bottom - top) == self.fine else self.fine
            return Placement((width, height), (left, top, right, bottom), flip, shown)
        crop = self.fine if self.mode.endswith("crop") else (width, height)
        spare = width - crop[0], height - crop[1]
        if min(spare) < 0:
            raise InputError(
                f"{name}: a crop of {crop[0]}x{crop[1]} does not fit into {width}x{height} pixels; "
                "choose a smaller --fine_size, or --resize_or_crop resize_and_crop"
            )
        if min(crop) < self.smallest:
            raise InputError(
                f"{name}: {crop[0]}x{crop[1]} pixels are too few for the networks, which need {self.smallest} on each "
                "side; make it larger, or choose --resize_or_crop resize_and_crop"
            )
        if self.random:
            left, top = (int(random.integers(side + 1)) for side in spare)
        else:
            left, top = (side // 2 for side in spare)
        flip = self.random and self.flip and bool(random.integers(2))
        return Placement((width, height), (left, top, left + crop[0], top + crop[1]), flip)


@dataclass(frozen=True)
class Placement:
    """resize: width, height. crop: left, top, right, bottom in the resized picture. flip: mirrored left to right.
    shown: width and height that the crop is resized to, if that is another size than its own.

    Images are placed by PIL, arrays faster (``pixels``, ``inside``): masks alike, pictures within 2 of 255 levels
    (but where rounding between two passes meets overshooting of black or white).
    """

    resize: Size
    crop: tuple[int, int, int, int]
    flip: bool
    shown: Size | None = None

    @property
    def size(self) -> Size:
        """Of the placed picture."""
        left, top, right, bottom = self.crop
        return self.shown or (right - left, bottom - top)

    def apply(self, image: Image.Image, resample: Image.Resampling) -> Image.Image:
        if image.size != self.resize:
            image = image.resize(self.resize, resample)
        if self.crop != (0, 0, *image.size):
            image = image.crop(self.crop)
        if image.size != self.size:
            image = image.resize(self.size, resample)
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if self.flip else image

    def picture(self, image: Image.Image) -> Image.Image:
        """Bicubic, antialiased."""
        return self.apply(image, Image.Resampling.BICUBIC)

    def mask(self, mask: Image.Image) -> Image.Image:
        """Nearest: a mask stays a mask."""
        return self.apply(mask, Image.Resampling.NEAREST)

    def pixels(self, picture: np.ndarray) -> np.ndarray:
        """A picture (H, W, C) uint8 or float32, as it is in its file or resized already -> (h, w, C). Bicubic,
        antialiased."""
        left, top, right, bottom = self.crop
        placed = resize_pixels(picture, self.resize)[top:bottom, left:right]
        if self.shown:
            placed = resize_pixels(np.array(placed), self.shown)
        return placed[:, ::-1] if self.flip else placed

    def inside(self, mask: np.ndarray) -> np.ndarray:
        """A mask (H, W) bool, as it is in its file or resized already -> (h, w). Nearest."""
        left, top, right, bottom = self.crop
        height, width = mask.shape
        if self.shown:
            mask = Placement(self.resize, self.crop, flip=False).inside(mask)
            return Placement(self.shown, (0, 0, *self.shown), self.flip).inside(mask)
        if (width, height) == self.resize:
            mask = mask[top:bottom, left:right]
            return mask[:, ::-1] if self.flip else mask
        columns = nearest(width, self.resize[0])[left:right]
        return mask.take(nearest(height, self.resize[1])[top:bottom], 0).take(columns[:: -1 if self.flip else 1], 1)

    def boxes(self, boxes: Tensor, size: Size) -> tuple[Tensor, Tensor]:
        """Boxes (..., 4) in pixels of a picture of ``size``, as it is in its file -> (..., 4) in pixels of the placed
        one, 0 where nothing is left, and the share (...) of each box's area that the crop has left, in [0, 1]."""
        left, top, right, bottom = self.crop
        crop = right - left, bottom - top
        moved = shift(scale(boxes, self.resize[0] / size[0], self.resize[1] / size[1]), -left, -top)
        clipped, share = clip(moved, *crop), share_kept(moved, *crop)
        shown = scale(clipped, self.size[0] / crop[0], self.size[1] / crop[1])
        return (torch.where(share[..., None] > 0, flip(shown, self.size[0]), 0) if self.flip else shown), share

    def keypoints(self, keypoints: Tensor, size: Size) -> Tensor:
        """Keypoints (..., 3), x, y and visibility, in pixels of a picture of ``size``, as it is in its file -> (..., 3)
        in pixels of the placed one; 0, 0, 0 for a point that is unknown (visibility 0) or outside of the crop.

        They keep their places. Where a mirrored left hand is to become a right hand, who knows their names exchanges
        them: ``flip`` tells when.
        """
        left, top, right, bottom = self.crop
        x = keypoints[..., 0] * (self.resize[0] / size[0]) - left  # (...)
        y = keypoints[..., 1] * (self.resize[1] / size[1]) - top  # (...)
        (width, height), crop = self.size, (right - left, bottom - top)
        x, y = x * (width / crop[0]), y * (height / crop[1])
        x = width - x if self.flip else x
        known = (keypoints[..., 2] > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)  # (...)
        placed = torch.stack([x, y, keypoints[..., 2]], dim=-1)
        return torch.where(known[..., None], placed, 0)


def resize_pixels(picture: np.ndarray, size: Size) -> np.ndarray:
    """A picture (H, W, C) uint8 or float32 -> (h, w, C), bicubic, antialiased. In whole numbers, where it has those,
    four times as fast as PIL's."""
    width, height = size
    if picture.shape[:2] == (height, width):
        return picture
    planes = torch.from_numpy(picture).permute(2, 0, 1)[None]  # (1, C, H, W)
    resized = functional.interpolate(planes, (height, width), mode="bicubic", antialias=True)  # (1, C, h, w)
    return resized[0].permute(1, 2, 0).numpy()  # (h, w, C)


def resize_inside(mask: np.ndarray, size: Size) -> np.ndarray:
    """A mask (H, W) bool -> (h, w), nearest."""
    return Placement(size, (0, 0, *size), flip=False).inside(mask)


@lru_cache(maxsize=256)
def nearest(length: int, resized: int) -> np.ndarray:
    """The pixel of a line of ``length`` that each of ``resized`` pixels is taken from (resized,): as PIL chooses it."""
    line = Image.fromarray(np.arange(length, dtype=np.int32)[None])
    return np.asarray(line.resize((resized, 1), Image.Resampling.NEAREST))[0].astype(np.intp)
