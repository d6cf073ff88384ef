"""Picture and mask files of any common kind -> upright PIL images. Every failure names the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from instagan.errors import InputError


def read_picture(path: Path) -> Image.Image:
    """RGB, turned as its EXIF orientation says; 16-bit grey is scaled to 8 bits; transparency is dropped."""
    image = _open(path)
    if image.mode.startswith("I"):  # 16 or 32 bit grey; PIL would clip it
        image = Image.fromarray((np.asarray(image).astype(np.float32).clip(0, 65535) / 257).round().astype(np.uint8))
    return image.convert("RGB")


def read_mask(path: Path) -> Image.Image:
    """Mode L, 0 outside and 255 inside of the instance, turned as its EXIF orientation says.

    Inside is what is brighter than half of the brightest pixel, so that masks drawn in 0 and 1, in 0 and 255, in a
    palette's colours and in 16 bits all work; where a mask has transparency, inside is what is opaque.
    """
    image = _open(path)
    if "transparency" in image.info or image.mode in ("LA", "PA", "RGBA", "La", "RGBa"):
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
        if alpha.min() < 255:
            return Image.fromarray((alpha > 127).astype(np.uint8) * 255)
    values = np.asarray(image if image.mode[0] in "1LIF" else image.convert("RGB")).astype(np.float32)
    brightness = values.max(axis=2) if values.ndim == 3 else values  # (H, W)
    lossy_noise = 127.5 if path.suffix.lower() in (".jpg", ".jpeg") else 0.0
    return Image.fromarray((brightness > max(brightness.max() / 2, lossy_noise)).astype(np.uint8) * 255)


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image)
    except FileNotFoundError:
        raise InputError(f"{path}: the file is gone; put it back or start again without it") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as a picture ({error}); mend or remove the file") from None
