"""Annotated picture files -> upright PIL images. Every failure names the file."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from data.placement import Size
from instagan.errors import InputError
from instagan.io.reading import read_inside, read_mask, read_picture

__all__ = ["read_annotated", "read_inside", "read_mask", "read_picture"]


def read_annotated(path: Path, size: Size | None) -> Image.Image:
    """The picture as it was annotated: upright, or as stored where only that has the size that the source tells."""
    picture = read_picture(path)
    if size is None or picture.size == size:
        return picture
    if picture.size == size[::-1]:
        with Image.open(path) as stored:
            if stored.size == size:
                return stored.convert("RGB")
    raise InputError(
        f"{path} is {picture.width}x{picture.height} pixels but was annotated at {size[0]}x{size[1]}; "
        "put back the picture that was annotated, or remove it from the annotations"
    )
