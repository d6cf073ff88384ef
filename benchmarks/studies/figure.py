"""The figure of a study, from strips that are kept of each run: rows are methods, columns scenes in two styles each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from evaluation.outputs import outputs_of
from instagan.io.reading import read_picture

SCENES, STYLES = 3, 2
"""In a strip: so many scenes side by side, each in the first so many styles."""
GAP, LABEL, TOP = 3, 190, 20
WHITE, BLACK, GREY = (255, 255, 255), (0, 0, 0), (225, 225, 225)


def strip_of(folder: Path, target: str) -> Image.Image | None:
    """The first scenes' translations in a folder that test.py could have written; None where it has none."""
    outputs = list(outputs_of(folder, target).values())[:SCENES]
    return joined([[read_picture(path) for path in paths[:STYLES]] for paths in outputs]) if outputs else None


def joined(scenes: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Scenes side by side; where one has a single output the place of the second is grey."""
    width, height = scenes[0][0].size
    strip = Image.new("RGB", (SCENES * STYLES * width, height), GREY)
    for number, outputs in enumerate(scenes):
        for style, image in enumerate(outputs):
            strip.paste(image, ((number * STYLES + style) * width, 0))
    return strip


def draw_figure(strips: Mapping[str, Image.Image]) -> Image.Image:
    """strips: title of a row -> its images side by side, of one size in all rows."""
    wide, height = next(iter(strips.values())).size
    width, columns = wide // (SCENES * STYLES), SCENES * STYLES
    figure = Image.new(
        "RGB", (LABEL + columns * (width + GAP) + SCENES * 2 * GAP, TOP + len(strips) * (height + GAP)), WHITE
    )
    draw, font = ImageDraw.Draw(figure), ImageFont.load_default(12)
    for row, (title, strip) in enumerate(strips.items()):
        top = TOP + row * (height + GAP)
        draw.text((4, top + height // 2 - 8), title, BLACK, font)
        for column in range(columns):
            left = LABEL + column * (width + GAP) + column // STYLES * 2 * GAP
            if not row and not column % STYLES:
                draw.text((left, 3), f"scene {column // STYLES + 1}", BLACK, font)
            figure.paste(strip.crop((column * width, 0, (column + 1) * width, height)), (left, top))
    return figure
