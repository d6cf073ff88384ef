"""Picture and mask files of any common kind -> upright PIL images and arrays. Every failure names the file."""

from __future__ import annotations

import math
from functools import reduce
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageOps

from instagan.errors import InputError

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
"""Of files that are taken for pictures, and masks, wherever a folder is listed."""

LOSSY = (".jpg", ".jpeg")

Size = tuple[int, int]
"""Width and height in pixels, in this order, as PIL has it."""

Levels = tuple[float, float]
"""What is black and what is white in a picture of more than 8 bits a channel."""

ALL_LEVELS = (0, 65535)
DEEP = "has colours of 16 bits, of which 8 are read"

_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)

_EXIF = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}
"""Where PIL looks for an orientation; most pictures have none of them, which is quickly seen."""


def read_picture(path: Path, size: Size | None = None, levels: Levels = ALL_LEVELS) -> Image.Image:
    """RGB, turned as its EXIF orientation says; 16-bit grey is scaled to 8 bits by ``levels``; transparency is dropped.

    size: width and height at which it was annotated, where that is known: then the image is as stored where only that
    has this size, and raises ``InputError`` where neither has. Of colours of 16 bits the upper 8 are read; ``levels``
    that say otherwise raise ``InputError``.
    """
    if levels != ALL_LEVELS and has_deep_colours(path):
        raise InputError(f"{path} {DEEP}, so that a range cannot be applied; save such images as .npy")
    picture = as_rgb(open_upright(path), levels)
    if size is None or picture.size == size:
        return picture
    if picture.size == size[::-1]:
        with Image.open(path) as stored:
            if stored.size == size:
                return Image.fromarray(np.asarray(as_rgb(stored, levels)))  # pixels alone: nobody shall turn it later
    raise InputError(
        f"{path} is {picture.width}x{picture.height} pixels but was annotated at {size[0]}x{size[1]}; "
        "put back the picture that was annotated, or remove it from the annotations"
    )


def has_deep_colours(path: Path) -> bool:
    """Whether a file has several channels of 16 bits each, of which Pillow gives the upper 8; decodes no pixel."""
    try:
        with Image.open(path) as image:
            return is_deep(image) and image.mode[0] not in "IF"
    except Exception:  # whoever reads it says what is wrong
        return False


def is_deep(image: Image.Image) -> bool:
    """Whether a file that was opened and not decoded has 16 bits a channel."""
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def upright_size(path: Path) -> Size:
    """Width and height of a picture turned as its EXIF orientation says; decodes no pixel. Raises ``InputError``."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(_ORIENTATION, 1) in _SIDEWAYS
            return image.size[::-1] if turned else image.size
    except Exception as error:  # a damaged file can raise anything
        raise InputError(f"{path} cannot be read as a picture ({error}); fix or remove the file") from None


def as_rgb(image: Image.Image, levels: Levels = ALL_LEVELS) -> Image.Image:
    """A picture of any mode as RGB of 8 bits; of more bits, what is outside of ``levels`` is black or white."""
    if image.mode.startswith("I"):  # 16 or 32 bit grey; PIL would clip it
        black, white = levels
        grey = (np.asarray(image).astype(np.float32) - black) / ((white - black) / 255)
        image = Image.fromarray(grey.clip(0, 255).round().astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


def read_mask(path: Path) -> Image.Image:
    """``read_inside`` as a picture: mode L, 0 outside and 255 inside."""
    return Image.fromarray(read_inside(path).astype(np.uint8) * 255)


def read_inside(path: Path) -> np.ndarray:
    """Which pixels are inside of the instance, (H, W) bool, turned as its EXIF orientation says; see ``inside_of``."""
    return inside_of(open_upright(path), lossy=path.suffix.lower() in LOSSY)


def read_parts(path: Path) -> np.ndarray:
    """A label map: the number of the part that each pixel is in, 0 outside of the instance, (H, W) uint8 or larger.

    Of grey pictures and those with a palette, whose indices are the numbers. Raises ``InputError`` for others.
    """
    image = open_upright(path)
    if image.mode not in ("1", "L", "P", "I", "I;16"):
        raise InputError(f"{path} is in colour ({image.mode}); a map of parts has their numbers, in grey or a palette")
    labels = np.asarray(image)
    return labels.astype(np.uint8) if labels.dtype == bool else labels


def inside_of(image: Image.Image, lossy: bool = False) -> np.ndarray:
    """Which pixels of a mask are inside, (H, W) bool.

    Inside is what is brighter than half of the brightest pixel, so that masks drawn in 0 and 1, in 0 and 255, in a
    palette's colours and in 16 bits all work; where a mask has transparency, inside is what is opaque. Where
    compression is ``lossy`` what is darker than mid grey is noise.
    """
    if "transparency" in image.info or image.mode in ("LA", "PA", "RGBA", "La", "RGBa"):
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
        if alpha.min() < 255:
            return alpha > 127
    if image.mode[0] not in "1LIF":
        image = reduce(ImageChops.lighter, image.convert("RGB").split())  # of a band at a time, for large ones
    values = np.asarray(image)
    brightness = values.max(axis=2) if values.ndim == 3 else values  # (H, W); LAB, which PIL cannot convert, has three
    limit = max(float(brightness.max()) / 2, 127.5 if lossy else 0.0)
    return brightness > (math.floor(limit) if brightness.dtype.kind in "bu" else limit)  # the same, and no floats


def open_upright(path: Path) -> Image.Image:
    """The file's picture, decoded, turned as its EXIF orientation says. Raises ``InputError``."""
    try:
        with Image.open(path) as image:
            image.load()
            upright = image.format in ("PNG", "JPEG", "BMP", "WEBP") and not _EXIF & image.info.keys()
            if not upright:
                ImageOps.exif_transpose(image, in_place=True)  # which copies nothing that is upright
            return image
    except FileNotFoundError:
        raise InputError(f"{path}: the file is gone; put it back or start again without it") from None
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise InputError(f"{path} has more than {most:.0f} megapixels, which are not decoded; shrink it") from None
    except Exception as error:  # decoding a damaged file can raise anything
        raise InputError(f"{path} cannot be read as a picture ({error}); fix or remove the file") from None


def list_pictures(folder: Path) -> list[Path]:
    """The picture files of a folder, by name."""
    try:
        found = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_ENDINGS and path.is_file()]
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}); pass another folder") from None
    return sorted(path for path in found if not path.name.startswith("."))
