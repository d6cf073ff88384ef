"""The figure of a study, from strips that are kept of each run: rows are methods, columns scenes in two styles each, or
twice as many scenes where a study has one style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from evaluation.outputs import outputs_of
from instagan.io.reading import read_picture

COLUMNS, STYLES = 6, 2
"""Images side by side in a strip, and most styles of a scene among them."""
GAP, LABEL, TOP = 3, 190, 20
WHITE, BLACK, GREY = (255, 255, 255), (0, 0, 0), (225, 225, 225)


def shown_styles(styles: int) -> int:
    """Of a scene, where a study has so many."""
    return min(styles, STYLES)


def strip_of(folder: Path, target: str, styles: int) -> Image.Image | None:
    """The first scenes' translations in a folder that test.py could have written; None where it has none."""
    shown = shown_styles(styles)
    outputs = list(outputs_of(folder, target).values())[: COLUMNS // shown]
    return joined([[read_picture(path) for path in paths[:shown]] for paths in outputs], shown) if outputs else None


def joined(scenes: Sequence[Sequence[Image.Image]], styles: int) -> Image.Image:
    """Scenes side by side, each with so many places; those that it has no output for are grey."""
    width, height = scenes[0][0].size
    strip = Image.new("RGB", (COLUMNS * width, height), GREY)
    for number, outputs in enumerate(scenes):
        for style, image in enumerate(outputs):
            strip.paste(image, ((number * styles + style) * width, 0))
    return strip


def draw_figure(strips: Mapping[str, Image.Image], styles: int) -> Image.Image:
    """strips: title of a row -> its images side by side, of one size in all rows; styles: images of each scene."""
    wide, height = next(iter(strips.values())).size
    width = wide // COLUMNS
    figure = Image.new("RGB", (LABEL + COLUMNS * (width + 3 * GAP), TOP + len(strips) * (height + GAP)), WHITE)
    draw, font = ImageDraw.Draw(figure), ImageFont.load_default(12)
    for row, (title, strip) in enumerate(strips.items()):
        top = TOP + row * (height + GAP)
        draw.text((4, top + height // 2 - 8), title, BLACK, font)
        for column in range(COLUMNS):
            left = LABEL + column * (width + GAP) + column // styles * 2 * GAP
            if not row and not column % styles:
                draw.text((left, 3), f"scene {column // styles + 1}", BLACK, font)
            figure.paste(strip.crop((column * width, 0, (column + 1) * width, height)), (left, top))
    return figure
