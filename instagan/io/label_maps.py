"""Label maps: pictures in which every instance has an integer, or a colour, of its own, and 0 or black is nobody."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from instagan.errors import InputError

MOST = 500
"""A map with more values than this is a photo, or was saved with smoothing or compression."""

MEMORY = 2**32
"""Bytes that all masks of a map may take together."""


def instances_of(path: Path, size: tuple[int, int], ignored: Sequence[tuple[int, int]] = ()) -> dict[int, np.ndarray]:
    """Value -> its pixels (H, W) bool, in the order of the values. size: width and height of the picture.

    ignored: first and last of each range of values that are nobody; 0 always is.
    """
    values = read_label_map(path, size)
    nobody = (*ignored, (0, 0))
    present = [int(value) for value in np.unique(values) if not any(low <= value <= high for low, high in nobody)]
    if len(present) > MOST:
        raise InputError(
            f"{path} holds {len(present)} different values, more than instances can be; "
            "save it as png without smoothing"
        )
    if len(present) * values.size > MEMORY:
        raise InputError(f"{path} holds {len(present)} instances, too many for so large a picture; shrink both")
    return {value: values == value for value in present}


def read_label_map(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Integers (H, W); a colour is 65536 red + 256 green + blue; what is transparent is 0. Raises ``InputError``.

    size: width and height of the picture; a map of another size is not even decoded.
    """
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise InputError(f"{path}: jpeg changes the values of a label map; save it as png")
    values, opaque = read_levels(path, size)
    if values.ndim == 3:
        red, green, blue = (values[..., channel].astype(np.int64) for channel in range(3))
        values = (red << 16) + (green << 8) + blue
    return values.astype(np.int64) * opaque


def read_levels(path: Path, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | bool]:
    """The stored values, (H, W) or (H, W, channels), and where they are opaque, (H, W) bool or True for everywhere.

    Palettes are not looked up. Raises ``InputError``.
    """
    try:
        with Image.open(path) as image:
            found = image.size
            if found == size:
                opaque: np.ndarray | bool = True
                if "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
                    opaque = np.asarray(image.convert("RGBA").getchannel("A")) > 0  # (H, W)
                return np.asarray(image.convert("L") if image.mode in ("LA", "La", "PA") else image), opaque
    except Exception as error:  # decoding a damaged file can raise anything
        raise InputError(f"{path} cannot be read as a picture ({error}); fix or remove the file") from None
    raise InputError(
        f"{path} is {found[0]}x{found[1]} but its picture is {size[0]}x{size[1]}; "
        "a label map must have the size of its picture"
    )
