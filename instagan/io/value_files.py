"""Files of any type of values and any number of channels, as arrays (H, W, C) and back: png, tiff and npy.

npy holds (H, W) or (H, W, C). In a tiff channels are samples of a pixel or pages; what is written has samples. The
package tifffile is needed for tiffs that Pillow cannot read in full: those of several pages, or of more than 8 bits and
several channels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from instagan.errors import InputError
from instagan.io.optional import need
from instagan.io.reading import DEEP, Size, has_deep_colours, list_pictures, open_upright, upright_size

NPY, TIFF = ".npy", (".tif", ".tiff")
LUMINANCE = (0.299, 0.587, 0.114)
"""Of red, green and blue (ITU-R BT.601), as Pillow makes grey of them."""
_BITS, _SAMPLES, _PLANES = 258, 277, 284
"""Tags of a tiff: bits of each channel, number of channels, and whether each has a plane of its own."""
_GREY = {"1": "L", "L": "L", "I": "I", "F": "F"}


def read_values(path: Path) -> np.ndarray:
    """The values of a file as they are, (H, W, C) bool, whole numbers or floats. Raises ``InputError`` naming it."""
    ending = path.suffix.lower()
    if ending == NPY:
        values = _read_npy(path)
    elif ending in TIFF and not _is_simple(path):
        values = _read_tiff(path)
    elif ending not in TIFF and has_deep_colours(path):
        raise InputError(f"{path} {DEEP}; save such images as .npy or .tif")
    else:
        values = values_of(open_upright(path), of_tiff=ending in TIFF)
    if values.ndim == 2:
        values = values[..., None]
    if values.dtype.kind not in "buif" or values.ndim != 3 or values.size == 0:
        raise InputError(
            f"{path} holds {values.dtype} of {_shape(values)}; an image is numbers, height x width or "
            "height x width x channels"
        )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(f"{path} holds values that are not numbers (NaN or infinite); replace them")
    return values


def image_size(path: Path) -> Size:
    """Width and height of an image of any kind, upright; reads no values but of tiffs that Pillow does not know."""
    ending = path.suffix.lower()
    if ending != NPY and (ending not in TIFF or _is_simple(path)):
        return upright_size(path)
    height, width = read_values(path).shape[:2] if ending in TIFF else _read_npy(path, "r").shape[:2]
    return width, height


def list_images(folder: Path) -> list[Path]:
    """The pictures of a folder, or where it holds none its arrays, by name."""
    return list_pictures(folder) or sorted(path for path in folder.glob(f"*{NPY}") if not path.name.startswith("."))


def write_values(path: Path, values: np.ndarray, ending: str) -> None:
    """Writes values (H, W, C), in the kind of file that the ending names: .npy, .tif or .png. See ``can_hold``."""
    plane = values[..., 0] if values.shape[2] == 1 else values
    if ending == NPY:
        with path.open("wb") as file:  # np.save would append an ending to the name
            np.save(file, plane)
    elif ending in TIFF and not (plane.ndim == 2 and can_hold(".png", values)):
        tifffile = need("tifffile", "tifffile", "writing a tiff of several channels, or of floats")
        colours = "rgb" if values.shape[2] == 3 else "minisblack"
        with path.open("wb") as file:
            tifffile.imwrite(file, plane, photometric=colours, metadata=None, **_planar(values))
    else:
        Image.fromarray(plane).save(path, format="TIFF" if ending in TIFF else "PNG")


def can_hold(ending: str, values: np.ndarray) -> bool:
    """Whether such a file holds values (H, W, C) as they are: a png 8 or 16 bits of one channel, or 8 of 3 or 4."""
    if ending == NPY or ending in TIFF:
        return True
    channels = values.shape[2]
    return ending == ".png" and (values.dtype, channels) in {
        (np.dtype(np.uint8), 1), (np.dtype(np.uint8), 3), (np.dtype(np.uint8), 4), (np.dtype(np.uint16), 1)
    }  # fmt: skip


def values_of(image: Image.Image, of_tiff: bool = False) -> np.ndarray:
    """(H, W, C) of a picture of any mode: one channel, or three or four (RGB, RGBA)."""
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and not of_tiff):  # a png of 16 bits in earlier versions of Pillow
        values = np.asarray(image).astype(np.uint16)
    elif mode in _GREY:
        values = np.asarray(image.convert(_GREY[mode]))
    elif mode in ("LA", "La"):
        values = np.asarray(image.getchannel(0))
    else:
        values = np.asarray(image if mode in ("RGB", "RGBA") else image.convert("RGB"))
    return values[..., None] if values.ndim == 2 else values


def _planar(values: np.ndarray) -> dict[str, Any]:
    return {"planarconfig": "contig"} if values.shape[2] > 1 else {}


def grey(values: np.ndarray) -> np.ndarray:
    """The luminance (H, W, 1) of red, green and blue (H, W, 3), of the same type."""
    made = values.astype(np.float64) @ np.array(LUMINANCE)
    return (made if values.dtype.kind == "f" else np.rint(made)).astype(values.dtype)[..., None]


def _read_npy(path: Path, mapped: Literal["r"] | None = None) -> np.ndarray:
    try:
        values = np.load(path, mmap_mode=mapped, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: the file is gone; put it back or start again without it") from None
    except Exception as error:  # a damaged file can raise anything
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} cannot be read as an array ({reason}); fix or remove the file") from None
    if not isinstance(values, np.ndarray):  # several arrays, of np.savez
        raise InputError(f"{path} holds several arrays; save one with numpy.save")
    if values.ndim not in (2, 3):
        raise InputError(f"{path} holds an array {_shape(values)}; an image is height x width, or with channels behind")
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _is_simple(path: Path) -> bool:
    """Whether Pillow reads a tiff as it is: one page, and one channel of a type that it has, or colours of 8 bits."""
    try:
        with Image.open(path) as image:
            tags = image.tag_v2
            if image.n_frames > 1:
                return False
            if tags.get(_SAMPLES, 1) == 1:
                return image.mode[0] in "1LPF" or image.mode.startswith("I;16")
            return set(tags[_BITS]) == {8} and tags.get(_PLANES, 1) == 1 and image.mode in ("LA", "RGB", "RGBA", "CMYK")
    except Exception:  # of a kind that Pillow does not know
        return False


def _read_tiff(path: Path) -> np.ndarray:
    tifffile = need("tifffile", "tifffile", f"reading {path}")
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            values, axes = series.asarray(), series.axes
        rest = [place for place, axis in enumerate(axes) if axis not in "YX"]
        values = values.transpose(axes.index("Y"), axes.index("X"), *rest)
        found = [length for length in values.shape[2:] if length > 1]
        if len(found) > 1:
            raise ValueError(f"it has {' x '.join(map(str, found))} planes, and channels are one number")
        return values.reshape(*values.shape[:2], -1)
    except Exception as error:  # a damaged file can raise anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path} cannot be read as a tiff ({reason}); fix or remove the file") from None


def _shape(values: np.ndarray) -> str:
    return "x".join(map(str, values.shape)) or "one number"
