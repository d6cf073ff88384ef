"""The figure: rows are methods, columns pictures with more and more instances."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIDE = 128
"""Of a picture in the figure, in pixels: a multiple of what is drawn, which keeps the file small."""
GAP, LABEL, TOP = 4, 130, 34
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def draw_figure(strips: Mapping[str, Image.Image], side: int, headings: list[str], groups: list[str]) -> Image.Image:
    """strips: title of a row -> pictures of ``side`` pixels side by side, as many in all rows: first those of the first
    group, then as many of the second. headings: over the columns of a group; groups: over all of a group's columns."""
    each = len(headings)
    width = LABEL + len(groups) * each * (SIDE + GAP) + (len(groups) - 1) * 4 * GAP
    figure = Image.new("RGB", (width, TOP + len(strips) * (SIDE + GAP)), WHITE)
    draw, font = ImageDraw.Draw(figure), ImageFont.load_default(13)

    def left(column: int) -> int:
        return LABEL + column * (SIDE + GAP) + column // each * 4 * GAP

    for number, group in enumerate(groups):
        draw.text((left(number * each), 2), group, BLACK, font)
        for column, heading in enumerate(headings):
            draw.text((left(number * each + column), 17), heading, BLACK, font)
    for row, (title, strip) in enumerate(strips.items()):
        top = TOP + row * (SIDE + GAP)
        draw.text((4, top + SIDE // 2 - 8), title, BLACK, font)
        for column in range(len(groups) * each):
            part = strip.crop((column * side, 0, (column + 1) * side, side))
            figure.paste(part.resize((SIDE, SIDE), Image.Resampling.NEAREST), (left(column), top))
    return figure


def read_strip(file: Path) -> Image.Image | None:
    """None where there is none, or no picture."""
    try:
        return Image.open(file).convert("RGB")
    except OSError:
        return None
