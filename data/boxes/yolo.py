"""YOLO txt -> objects: a line for each, CLASS CX CY W H or an outline CLASS X Y X Y X Y ..., in shares of the image.

And the same with corners: CLASS X1 Y1 X2 Y2 (``read_normalised``). CLASS is a number, or a name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from data.boxes.objects import Corners, Found, Object, lines_of, within
from data.boxes.pairing import Read
from data.placement import Size
from instagan.io.values import number

SLACK = 0.01
"""Shares may be so much outside of 0 to 1: programs round."""

Parse = Callable[[list[str], Size], tuple[Corners, list[list[float]] | None]]


def yolo(names: Sequence[str] = ()) -> Read:
    """The reader; names: of the classes by number."""
    return partial(_read, parse=_centre_or_outline, names=names)


def normalised(names: Sequence[str] = ()) -> Read:
    """The reader; names: of the classes by number."""
    return partial(_read, parse=_corners, names=names)


def _read(path: Path, size: Size, found: Found, parse: Parse, names: Sequence[str]) -> list[Object]:
    objects = []
    for where, words in lines_of(path):
        with found.part(where):
            category = found.category(class_name(words[0], names))
            if category is not None:
                objects.append(Object(category, *parse(words[1:], size)))
    return objects


def class_name(word: str, names: Sequence[str]) -> str:
    """The name of a class that is told by number; where there is none, the word. Raises ``ValueError``."""
    if not names or word in names:
        return word
    if not word.isdecimal():
        raise ValueError(f"the class {word[:40]!r} is neither a number nor one of the names")
    if int(word) >= len(names):
        raise ValueError(f"it is of class {word}, but the names go to {len(names) - 1} only")
    return names[int(word)] or word


def _centre_or_outline(words: list[str], size: Size) -> tuple[Corners, list[list[float]] | None]:
    width, height = size
    if len(words) == 4:
        x, y, w, h = shares(words)
        return within((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height, size), None
    if len(words) < 6 or len(words) % 2:
        raise ValueError(
            f"it has {len(words)} numbers; a box has 4 (centre, width, height), an outline pairs from 6 on"
        )
    values = shares(words)
    across, down = [x * width for x in values[::2]], [y * height for y in values[1::2]]
    outline = [value for corner in zip(across, down, strict=True) for value in corner]
    return within(min(across), min(down), max(across), max(down), size), [outline]


def _corners(words: list[str], size: Size) -> tuple[Corners, list[list[float]] | None]:
    if len(words) != 4:
        raise ValueError(f"it has {len(words)} numbers; a box has 4 (left, top, right, bottom)")
    left, top, right, bottom = shares(words)
    return within(left * size[0], top * size[1], right * size[0], bottom * size[1], size), None


def shares(words: Sequence[str]) -> list[float]:
    """Numbers that are shares of width or height. Raises ``ValueError``."""
    values = [number(word) for word in words]
    for value in values:
        if not -SLACK <= value <= 1 + SLACK:
            raise ValueError(f"{value:g} is no share of width or height, which goes from 0 to 1; is it in pixels?")
    return values
