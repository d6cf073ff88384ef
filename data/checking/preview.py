"""Pictures of a data set with their instances coloured and numbered, to be looked at."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from data.checking.boxes import box_of_mask
from data.checking.masks import Box, Region
from data.checking.naming import Listing, Task
from data.entries import Entry
from data.folders import stem_and_number
from data.placement import Size
from instagan.io.contact_sheet import INK, PAPER, contact_sheet, enlarged
from instagan.io.overlay import TINT, colour, overlay
from instagan.io.pixels import as_shown, mask_to_tensor, to_tensor
from instagan.io.reading import read_mask

SMALLEST, LARGEST = 320, 640
"""Pixels: what is shown of a picture has a shorter side of at least the first and a longer one of at most the second
(that of very long pictures)."""


@dataclass(frozen=True)
class Shown:
    """One picture of the preview: itself, with its instances, which masks these are, and which cannot be shown."""

    task: Task
    picture: Image.Image
    instances: Image.Image
    numbers: tuple[int, ...]
    left_out: tuple[str, ...]


def choose(listing: Listing, count: int, seed: int) -> Iterator[Shown]:
    """``count`` random pictures of a domain, or all if it has no more, in the order of their names.

    Pictures that cannot be read are passed over. The choice depends on the seed and the domain's files alone.
    """
    order = np.random.default_rng([seed, *listing.folder.encode("utf-8", "surrogateescape")])
    shown: dict[int, Shown] = {}
    for index in order.permutation(len(listing.tasks)).tolist():
        if len(shown) >= count:
            break
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the report tells them
            drawn = draw(listing.tasks[index])
        if drawn:
            shown[index] = drawn
    yield from (shown[index] for index in sorted(shown))


def draw(task: Task) -> Shown | None:
    """A picture as the preview shows it; None if it cannot be read."""
    if task.entry:
        return _draw_boxes(task, task.entry)
    try:
        picture = as_shown(task.format.read(task.picture))
    except Exception:  # the report has told
        return None
    masks, left_out = {}, []
    for path in task.masks:
        try:
            mask = read_mask(path)
        except Exception:
            mask = None
        if mask is not None and mask.size == picture.size and mask.getbbox():
            masks[stem_and_number(path)[1]] = mask
        else:
            left_out.append(path.name)
    fitted = _fit(picture, Image.Resampling.LANCZOS)
    inside = [np.asarray(_fit(mask, Image.Resampling.NEAREST)) > 0 for mask in masks.values()]
    return Shown(task, fitted, numbered(fitted, inside, list(masks)), tuple(masks), tuple(left_out))


def _draw_boxes(task: Task, entry: Entry) -> Shown | None:
    """The same for objects that are listed in a json: tinted, with the outlines of their boxes and their categories."""
    try:
        picture = entry.read_picture()
        inside = [Image.fromarray(mask.read(picture.size)) for mask in entry.masks]
        boxes = [box_of_mask(entry, mask.number) for mask in entry.masks]
    except Exception:  # the report has told
        return None
    fitted = _fit(picture, Image.Resampling.LANCZOS)
    shown = [np.asarray(_fit(one, Image.Resampling.NEAREST)) for one in inside]  # (H, W) bool each
    names = [f"{mask.number} {task.classes[mask.label]}" for mask in entry.masks]
    across, down = fitted.width / picture.width, fitted.height / picture.height
    drawn = numbered(fitted, shown, names)
    pen = ImageDraw.Draw(drawn)
    for slot, (left, top, right, bottom) in enumerate(boxes):
        corner = max(right * across - 1, left * across), max(bottom * down - 1, top * down)
        pen.rectangle((left * across, top * down, *corner), outline=colour(slot))
    return Shown(task, fitted, drawn, tuple(mask.number for mask in entry.masks), ())


def numbered(picture: Image.Image, masks: Sequence[np.ndarray], numbers: Sequence[int | str]) -> Image.Image:
    """The picture with every instance, (H, W) bool, tinted and outlined in its colour and its number drawn at it."""
    if not masks:
        return picture.copy()
    stacked = torch.stack([mask_to_tensor(mask) for mask in masks])  # (N, H, W)
    drawn = overlay(to_tensor(picture), stacked, torch.ones(len(masks), dtype=torch.bool), TINT)
    pen = ImageDraw.Draw(drawn)
    size = max(14, min(drawn.size) // 18)
    font = ImageFont.load_default(size)
    taken: list[Box] = []
    regions = [Region.of(mask) for mask in masks]
    for slot in sorted(range(len(masks)), key=lambda slot: regions[slot].area):  # large ones have room to give way
        region = regions[slot]
        if region.area:
            text = str(numbers[slot])
            sign = _sign(region, (round(pen.textlength(text, font)) + size * 2 // 3, size * 4 // 3), drawn.size, taken)
            taken.append(sign)
            pen.rounded_rectangle(sign, radius=size // 4, fill=INK, outline=colour(slot), width=max(1, size // 8))
            pen.text(((sign[0] + sign[2]) / 2, (sign[1] + sign[3]) / 2), text, PAPER, font, anchor="mm")
    return drawn


def sheet(columns: Sequence[tuple[str, Sequence[Shown]]]) -> Image.Image:
    """One picture of all: a column for each domain, its name above; below each row the names of its pictures."""
    rows = max(len(shown) for _, shown in columns)
    empty = Image.new("RGB", (SMALLEST, SMALLEST), PAPER)
    tiles = [[shown[row].instances if row < len(shown) else empty for _, shown in columns] for row in range(rows)]
    names = [[shown[row].task.picture.name if row < len(shown) else "-" for _, shown in columns] for row in range(rows)]
    captions = ["".join(letter if letter.isprintable() else "?" for letter in "   |   ".join(row)) for row in names]
    return contact_sheet(tiles, [heading for heading, _ in columns], captions)


def _fit(image: Image.Image, resample: Image.Resampling) -> Image.Image:
    """At a size to look at: tiny images are enlarged by a whole factor, large ones made smaller."""
    longest = max(image.size)
    if longest > LARGEST:
        return image.resize([max(1, round(side * LARGEST / longest)) for side in image.size], resample)
    larger = enlarged(image, SMALLEST)
    return larger if max(larger.size) <= LARGEST else image


def _sign(region: Region, sign: Size, picture: Size, taken: list[Box]) -> Box:
    """Where the number of an instance stands: in its middle, or above it if it would hide it, or else the next free
    place below. sign and picture: width and height. taken: where numbers stand already."""
    (width, height), (left, top, right, bottom) = sign, region.box
    x, y = _middle(region)
    if right - left < 2 * width or bottom - top < 2 * height:
        y = top - height // 2 - 2 if top > height else bottom + height // 2 + 1
    x = min(max(x - width // 2, 0), max(picture[0] - width - 1, 0))
    y = min(max(y - height // 2, 0), max(picture[1] - height - 1, 0))
    for step in range(picture[1] // (height + 1)):
        lower = (y + step * (height + 1)) % max(picture[1] - height, 1)
        box = x, lower, x + width, lower + height
        if not any(box[0] <= old[2] and old[0] <= box[2] and box[1] <= old[3] and old[1] <= box[3] for old in taken):
            return box
    return x, y, x + width, y + height


def _middle(region: Region) -> tuple[int, int]:
    """A point of the instance far from its edge, and of those the nearest to its centre of gravity: x, y."""
    depth = ndimage.distance_transform_cdt(np.pad(region.inside, 1), "taxicab")[1:-1, 1:-1]  # (h, w)
    centre = np.argwhere(region.inside).mean(0)
    deepest = np.argwhere(depth == depth.max())
    row, column = deepest[((deepest - centre) ** 2).sum(1).argmin()].tolist()
    return region.box[0] + column, region.box[1] + row
