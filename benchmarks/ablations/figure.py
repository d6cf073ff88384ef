"""The figures: rows of pictures with more and more instances, one for each method; and learning curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIDE = 128
"""Of a picture in the figure, in pixels: a multiple of what is drawn, which keeps the file small."""
GAP, LABEL, TOP = 4, 130, 34
WHITE, BLACK, GREY = (255, 255, 255), (0, 0, 0), (215, 215, 215)
COLOURS = (
    (31, 119, 180), (214, 39, 40), (44, 160, 44), (148, 103, 189), (255, 127, 14), (23, 140, 150), (140, 86, 75),
    (227, 119, 194), (90, 90, 90), (188, 189, 34),
)  # fmt: skip
PANEL, MARGIN, LINE = (420, 300), 48, 16
"""Of a chart: width and height, room for its labels, height of a line of its legend, in pixels."""

Curve = Sequence[tuple[float, float]]
"""Points (x > 0, share in [0, 1])."""
Curves = Mapping[str, Sequence[Curve]]
"""By title, a curve of each seed."""


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


def draw_curves(panels: Mapping[str, Curves]) -> Image.Image:
    """panels: what is spent -> curves over it, of the same titles in all panels; a title's have one colour. x axes are
    logarithmic."""
    titles = list(next(iter(panels.values())))
    height = PANEL[1] + 2 * MARGIN + LINE * len(titles)
    chart = Image.new("RGB", (len(panels) * (PANEL[0] + 2 * MARGIN), height), WHITE)
    draw, font = ImageDraw.Draw(chart), ImageFont.load_default(12)
    for number, (label, curves) in enumerate(panels.items()):
        left, top = MARGIN + number * (PANEL[0] + 2 * MARGIN), MARGIN // 2
        spent = [x for of_title in curves.values() for points in of_title for x, _ in points] or [1.0]
        low, high = math.log2(min(spent)), max(math.log2(max(spent)), math.log2(min(spent)) + 1)

        def place(
            x: float, y: float, left: int = left, top: int = top, low: float = low, high: float = high
        ) -> tuple[float, float]:
            return left + (math.log2(x) - low) / (high - low) * PANEL[0], top + (1 - y) * PANEL[1]

        for share in (0, 0.25, 0.5, 0.75, 1):
            y = place(2**low, share)[1]
            draw.line([(left, y), (left + PANEL[0], y)], GREY)
            draw.text((left - 6, y), f"{share:.0%}", BLACK, font, anchor="rm")
        for power in range(math.floor(low), math.ceil(high) + 1):
            x = min(spent) * 2 ** (power - math.floor(low))
            if math.log2(x) <= high + 1e-9:
                draw.text((place(x, 0)[0], top + PANEL[1] + 4), f"{x:.0f}", BLACK, font, anchor="ma")
        draw.text((left + PANEL[0] / 2, top + PANEL[1] + 20), label, BLACK, font, anchor="ma")
        for colour, of_title in zip(COLOURS * len(titles), curves.values(), strict=False):
            for points in of_title:
                places = [place(*point) for point in points]
                draw.line(places, colour, 2)
                for x, y in places:
                    draw.ellipse([x - 3, y - 3, x + 3, y + 3], colour)
    for number, title in enumerate(titles):
        y = PANEL[1] + 3 * MARGIN // 2 + LINE * number
        draw.rectangle([MARGIN, y, MARGIN + 12, y + 8], COLOURS[number % len(COLOURS)])
        draw.text((MARGIN + 18, y - 3), title, BLACK, font)
    return chart


def read_strip(file: Path) -> Image.Image | None:
    """None where there is none, or no picture."""
    try:
        return Image.open(file).convert("RGB")
    except OSError:
        return None
