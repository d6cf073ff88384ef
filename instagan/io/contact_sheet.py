"""Several images on one sheet, in rows and columns, with headings and captions."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

SMALLEST_TILE = 192
"""Pictures narrower than this are enlarged on a contact sheet, by a whole factor."""

PAPER, INK, PALE_INK = (255, 255, 255), (31, 35, 40), (101, 109, 118)


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
