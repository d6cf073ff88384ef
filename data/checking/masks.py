"""What the pixels of masks tell: levels, areas, overlaps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

COVERING = 0.95
"""An instance that covers so much of its picture is likely the background."""

FAINT = 128
"""Masks drawn in levels below this, of 255, look black in most programs."""

MOST_LABELS = 64
"""Several levels up to this one may well number instances."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; the last two are the first outside."""


@dataclass(frozen=True)
class Region:
    """The inside of one mask: its box, what is inside within the box, its area in pixels."""

    box: Box
    inside: np.ndarray
    area: int

    @classmethod
    def of(cls, mask: np.ndarray) -> Region:
        """From a mask (H, W) bool; an empty one has the box 0, 0, 0, 0."""
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            return cls((0, 0, 0, 0), mask[:0, :0], 0)
        box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
        inside = mask[box[1] : box[3], box[0] : box[2]].copy()
        return cls(box, inside, int(inside.sum()))

    def overlap(self, other: Region) -> float:
        """Intersection over union, in [0, 1]."""
        left, top = max(self.box[0], other.box[0]), max(self.box[1], other.box[1])
        right, bottom = min(self.box[2], other.box[2]), min(self.box[3], other.box[3])
        if left >= right or top >= bottom:
            return 0.0
        ours, theirs = (
            region.inside[top - region.box[1] : bottom - region.box[1], left - region.box[0] : right - region.box[0]]
            for region in (self, other)
        )
        both = int((ours & theirs).sum())
        return both / (self.area + other.area - both)


def closest_overlaps(regions: list[Region], least: float) -> Iterator[tuple[int, int, float]]:
    """For every region the earlier one that it overlaps most: both indices and the share, if that is ``least``."""
    for index, region in enumerate(regions):
        shares = [region.overlap(earlier) for earlier in regions[:index]]
        if shares and max(shares) >= least:
            earlier = int(np.argmax(shares))
            yield index, earlier, shares[earlier]


def levels_problem(image: Image.Image, lossy: bool) -> tuple[str, str] | None:
    """Code and message for a mask that is not drawn in two levels, black and white; None for one that is.

    image: as read from its file, of any mode. What counts as inside is ``instagan.io.reading.read_mask``'s to say.
    """
    if image.mode == "1":
        return None
    colours = _colours(image)
    levels = np.array([max(colour) if isinstance(colour, tuple) else colour for _, colour in colours], dtype=np.float64)
    counts = np.array([count for count, _ in colours])
    brightest = levels.max()
    if len(colours) <= 2:
        if 0 < brightest < FAINT:
            return "faint_mask", f"is drawn in levels up to {brightest:g} where 255 is usual; read all the same"
        return None
    between = counts[(levels > levels.min()) & (levels < brightest)].sum() / counts.sum()
    if between == 0:
        return "not_binary", f"has {len(colours)} colours, and all that is bright is taken for one instance"
    share = f"{between:.1%}" if between >= 0.001 else "under 0.1%"
    grey = f"is not black and white: {share} of its pixels are grey{' or noise of JPEG' if lossy else ''}"
    if brightest <= MOST_LABELS:
        return "not_binary", f"{grey}; if its levels number instances, split them with scripts/prepare_masks.py"
    return "not_binary", f"{grey}, and inside where they are brighter than half of the brightest"


def may_be_transparent(image: Image.Image) -> bool:
    return "transparency" in image.info or image.mode in ("LA", "PA", "RGBA", "La", "RGBa")


def transparency(image: Image.Image) -> Image.Image:
    """Mode L: 0 where it is transparent, 255 where it is opaque."""
    return image.convert("RGBA").getchannel("A")


def _colours(image: Image.Image) -> list[tuple[int, float | tuple[int, ...]]]:
    """How often each colour occurs; transparency alone where there is some, as that tells what is inside."""
    if may_be_transparent(image):
        alpha = transparency(image)
        image = alpha if alpha.getextrema()[0] < 255 else image.convert("RGB")
    if image.mode == "L":
        return [(count, level) for level, count in enumerate(image.histogram()) if count]
    if image.mode[0] in "IF":
        values, counts = np.unique(np.asarray(image), return_counts=True)
        return [(int(count), float(value)) for value, count in zip(values, counts, strict=True)]
    return image.convert("RGB").getcolors(image.width * image.height) or []
