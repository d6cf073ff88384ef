"""Picture and mask files of any common kind -> upright PIL images. Every failure names the file."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from data.placement import Size
from instagan.errors import InputError

_EXIF = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}
"""Where PIL looks for an orientation; most pictures have none of them, which is quickly seen."""


def read_picture(path: Path) -> Image.Image:
    """RGB, turned as its EXIF orientation says; 16-bit grey is scaled to 8 bits; transparency is dropped."""
    image = _open(path)
    if image.mode.startswith("I"):  # 16 or 32 bit grey; PIL would clip it
        image = Image.fromarray((np.asarray(image).astype(np.float32).clip(0, 65535) / 257).round().astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


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


def read_mask(path: Path) -> Image.Image:
    """``read_inside`` as a picture: mode L, 0 outside and 255 inside."""
    return Image.fromarray(read_inside(path).astype(np.uint8) * 255)


def read_inside(path: Path) -> np.ndarray:
    """Which pixels are inside of the instance, (H, W) bool, turned as its EXIF orientation says.

    Inside is what is brighter than half of the brightest pixel, so that masks drawn in 0 and 1, in 0 and 255, in a
    palette's colours and in 16 bits all work; where a mask has transparency, inside is what is opaque.
    """
    image = _open(path)
    if "transparency" in image.info or image.mode in ("LA", "PA", "RGBA", "La", "RGBa"):
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
        if alpha.min() < 255:
            return alpha > 127
    values = np.asarray(image if image.mode[0] in "1LIF" else image.convert("RGB"))
    brightness = values.max(axis=2) if values.ndim == 3 else values  # (H, W)
    lossy_noise = 127.5 if path.suffix.lower() in (".jpg", ".jpeg") else 0.0
    limit = max(float(brightness.max()) / 2, lossy_noise)
    return brightness > (math.floor(limit) if brightness.dtype.kind in "bu" else limit)  # the same, and no floats


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            upright = image.format in ("PNG", "JPEG", "BMP", "WEBP") and not _EXIF & image.info.keys()
            return image if upright else ImageOps.exif_transpose(image)
    except FileNotFoundError:
        raise InputError(f"{path}: the file is gone; put it back or start again without it") from None
    except Exception as error:  # decoding a damaged file can raise anything
        raise InputError(f"{path} cannot be read as a picture ({error}); mend or remove the file") from None
