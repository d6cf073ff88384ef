"""Tensors to pictures and back, and drawing: the only owner of the step between [-1, 1] and [0, 255].

Letters: N instance slots, H x W picture.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from instagan.instances import INSIDE, OUTSIDE

HUES = (0.56, 0.05, 0.36, 0.86, 0.14, 0.70, 0.47, 0.96, 0.26, 0.78)
"""Hues on the colour circle, in an order that keeps neighbours far apart; used up, they come again lighter."""

FILL = 0.38
"""Share of the instance's colour in its translucent fill."""

SMALLEST_TILE = 192
"""Pictures narrower than this are enlarged on a contact sheet, by a whole factor."""

PAPER, INK, PALE_INK = (255, 255, 255), (31, 35, 40), (101, 109, 118)


def to_tensor(picture: Image.Image) -> Tensor:
    """An RGB picture as float32 (3, H, W) in [-1, 1]."""
    return pixels_to_tensor(np.asarray(picture.convert("RGB")))


def pixels_to_tensor(pixels: np.ndarray) -> Tensor:
    """Pixels (H, W, 3) uint8 as float32 (3, H, W) in [-1, 1]."""
    height, width, channels = pixels.shape
    image = np.empty((channels, height, width), np.float32)
    np.divide(pixels.transpose(2, 0, 1), np.float32(127.5), out=image)
    image -= 1
    return torch.from_numpy(image)  # (3, H, W)


def mask_to_tensor(inside: np.ndarray) -> Tensor:
    """A bool array of any shape as float32, -1 outside and +1 inside."""
    mask = np.empty(inside.shape, np.float32)
    np.multiply(inside.view(np.uint8), np.float32(INSIDE - OUTSIDE), out=mask)
    mask += OUTSIDE
    return torch.from_numpy(mask)


def to_bytes(image: Tensor) -> np.ndarray:
    """An image (3, H, W) in [-1, 1], of any float type and device, as uint8 (H, W, 3); not-a-number is mid grey."""
    levels = torch.nan_to_num(image.detach().to("cpu", torch.float32)).clamp(-1, 1)
    return ((levels + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()  # (H, W, 3)


def to_picture(image: Tensor) -> Image.Image:
    """An image (3, H, W) in [-1, 1] as an RGB picture; ``to_picture(to_tensor(p))`` is p, pixel for pixel."""
    return Image.fromarray(np.ascontiguousarray(to_bytes(image)))


def to_mask_picture(mask: Tensor) -> Image.Image:
    """A mask (H, W) as a grey picture: 255 where it is above 0, else 0."""
    inside = (mask.detach() > 0).cpu().numpy()
    return Image.fromarray(np.where(inside, 255, 0).astype(np.uint8))


def colour(slot: int) -> tuple[int, int, int]:
    """The RGB colour of an instance slot: the same in every picture, so that an instance keeps it when translated."""
    turn, hue = divmod(slot, len(HUES))
    red, green, blue = colorsys.hls_to_rgb(HUES[hue], (0.52, 0.74, 0.36)[turn % 3], 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def overlay(image: Tensor, masks: Tensor, present: Tensor) -> Image.Image:
    """The picture with each present instance filled translucently and outlined in the colour of its slot.

    image (3, H, W) in [-1, 1], masks (N, H, W), present (N,) bool. An outline runs along the instance's inner edge.
    """
    canvas = torch.from_numpy(to_bytes(image).astype(np.float32))  # (H, W, 3)
    inside = masks.detach().float().cpu() > 0  # (N, H, W)
    slots = [slot for slot, exists in enumerate(present.tolist()) if exists]
    colours = {slot: torch.tensor(colour(slot), dtype=torch.float32) for slot in slots}
    for slot in slots:
        canvas[inside[slot]] = torch.lerp(canvas[inside[slot]], colours[slot], FILL)
    for slot in slots:
        canvas[_outline(inside[slot])] = colours[slot]
    return Image.fromarray(canvas.round().to(torch.uint8).numpy())


def _outline(inside: Tensor) -> Tensor:
    """The pixels (H, W) bool of an instance that lie near its outside; the picture's border counts as outside."""
    thickness = max(1, round(min(inside.shape) / 150))
    outside = functional.pad((~inside).float()[None, None], [thickness] * 4, value=1.0)
    near_outside = functional.max_pool2d(outside, 2 * thickness + 1, stride=1)[0, 0] > 0  # (H, W)
    return inside & near_outside


def enlarged(picture: Image.Image, smallest: int = SMALLEST_TILE) -> Image.Image:
    """The picture, enlarged by a whole factor (nearest neighbour) where its shorter side is below ``smallest``."""
    factor = -(-smallest // min(picture.size))
    if factor <= 1:
        return picture
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def contact_sheet(
    rows: Sequence[Sequence[Image.Image]], headings: Sequence[str], captions: Sequence[str] | None = None
) -> Image.Image:
    """Pictures in rows and columns on white: a heading over each column and, if given, a caption under each row.

    Text stays readable at any tile size: tiny pictures are enlarged, letters grow with the tiles.
    """
    tiles = [[enlarged(picture.convert("RGB")) for picture in row] for row in rows]
    widths = [max((row[c].width for row in tiles if c < len(row)), default=0) for c in range(len(headings))]
    size = max(16, min(widths) // 12)
    gap, line = size // 2, round(size * 1.6)
    heading_font, caption_font = ImageFont.load_default(size), ImageFont.load_default(round(size * 0.85))
    captions_height = line if captions is not None else 0
    heights = [max(tile.height for tile in row) + captions_height + gap for row in tiles]
    sheet = Image.new("RGB", (sum(widths) + gap * (len(widths) + 1), gap + line + sum(heights) + gap), PAPER)
    pen = ImageDraw.Draw(sheet)
    lefts = [gap + sum(widths[:c]) + gap * c for c in range(len(widths))]
    for left, width, heading in zip(lefts, widths, headings, strict=True):
        pen.text((left, gap), _fitting(heading, heading_font, width), INK, heading_font)
    top = gap + line
    for number, row in enumerate(tiles):
        for left, tile in zip(lefts, row, strict=False):
            sheet.paste(tile, (left, top))
        if captions is not None:
            caption = _fitting(captions[number], caption_font, sheet.width - 2 * gap)
            pen.text((gap, top + max(tile.height for tile in row) + gap // 2), caption, PALE_INK, caption_font)
        top += heights[number]
    return sheet


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text on one line, cut with an ellipsis where it is wider than ``width`` pixels."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."
