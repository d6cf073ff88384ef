"""How the images of a domain are kept in files, and how their values become [-1, 1] and back.

Images of 3 channels that are pictures (png, jpg, ...) are read as RGB of 8 bits, as ever. All others keep the type of
their files: 8 bits stay whole numbers, of all others the pixels are shares of a range, 0 at its lower end and 1 at its
upper end, float64 so that each value is found again exactly.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from instagan.errors import InputError
from instagan.flag_types import levels_of
from instagan.io.reading import ALL_LEVELS, Levels, Size, read_picture
from instagan.io.value_files import NPY, TIFF, can_hold, grey, read_values, write_values
from instagan.structures.directions import A_TO_B, exchanged

PLAIN = "uint8.png"
WHOLE, FLOATS = (
    ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    ("float16", "float32", "float64"),
)
FLAGS = {"A": "input", "B": "output"}
"""What the flags of a domain begin with, as the published programs have it: --input_nc, --output_nc."""


@dataclass(frozen=True)
class Format:
    """channels: C. levels: the values that become -1 and 1 (None: all that the type of a file can hold); 8-bit values
    always have all of theirs. kind: type and ending of files that are written, such as "uint16.png". flags: what the
    flags are called, "input" or "output"; empty where there are none."""

    channels: int = 3
    levels: Levels | None = None
    kind: str = PLAIN
    flags: str = ""

    @property
    def is_rgb(self) -> bool:
        """Whether translations are RGB pictures of 8 bits and nothing else."""
        return self.channels == 3 and self.kind == PLAIN

    @property
    def type(self) -> np.dtype:
        return np.dtype(self.kind.partition(".")[0])

    @property
    def ending(self) -> str:
        """Of files that are written."""
        return Path(self.kind).suffix

    def like(self, path: Path) -> Format:
        """The same, with what is written as this file is. Raises ``InputError`` as ``read`` does."""
        if self.reads_rgb(path):
            return self
        values = read_values(path)
        self.pixels(values, str(path))
        ending = path.suffix.lower()
        kind = {"bool": "uint8", "longdouble": "float64"}.get(values.dtype.type.__name__, str(values.dtype))
        return replace(self, kind=f"{kind}{NPY if ending == NPY else '.tif' if ending in TIFF else '.png'}")

    def reads_rgb(self, path: Path) -> bool:
        """Whether a file is read as RGB of 8 bits."""
        return self.channels == 3 and path.suffix.lower() != NPY

    def read(self, path: Path, size: Size | None = None) -> np.ndarray:
        """Pixels (H, W, C) uint8, or float64 shares of the range. Raises ``InputError`` naming the file and the flag.

        size: width and height at which it was annotated, where that is known.
        """
        if self.reads_rgb(path):
            return np.asarray(read_picture(path, size, self.levels or ALL_LEVELS))
        pixels = self.pixels(read_values(path), str(path))
        if size is not None and size != (pixels.shape[1], pixels.shape[0]):
            raise InputError(
                f"{path} is {pixels.shape[1]}x{pixels.shape[0]} pixels but was annotated at {size[0]}x{size[1]}; "
                "put back the image that was annotated, or remove it from the annotations"
            )
        return pixels

    def pixels(self, values: np.ndarray, name: str) -> np.ndarray:
        """Values (H, W, C) of a file -> pixels as ``read`` gives them. Raises ``InputError`` naming ``name``."""
        values = self._fitting(values, name)
        if values.dtype == np.bool_:
            return values.astype(np.uint8) * np.uint8(255)
        if values.dtype == np.uint8:
            return values
        low, high = self._range(values.dtype, name)
        return (values.astype(np.float64) - low) / (high - low)

    def values(self, pixels: np.ndarray) -> np.ndarray:
        """The opposite of ``pixels``, for files that are written: (H, W, C) of ``type``."""
        kind = self.type
        if pixels.dtype == kind == np.uint8:
            return pixels
        shares = pixels / 255 if pixels.dtype == np.uint8 else pixels.astype(np.float64)
        low, high = (0, 255) if kind == np.uint8 else self._range(kind, "a translation")
        values = low + shares * (high - low)
        if kind.kind == "f":
            return values.astype(kind)
        limits = np.iinfo(kind)
        return np.rint(values).clip(limits.min, limits.max).astype(kind)

    def write(self, path: Path, pixels: np.ndarray) -> None:
        """A file of this kind, whatever its name says. Raises ``InputError`` for values that it cannot hold."""
        values = self.values(pixels)
        if not can_hold(self.ending, values):
            raise InputError(
                f"{path} cannot hold {self.channels} channels of {self.type}; pass another --{self.flags}_kind, such "
                f"as {self.type}.tif"
            )
        write_values(path, values, self.ending)

    def _range(self, kind: np.dtype, name: str) -> tuple[float, float]:
        if self.levels is not None:
            return self.levels
        if kind.kind == "f":
            how = f"state it with --{self.flags}_range LOW:HIGH" if self.flags else "pass whole numbers, as in training"
            raise InputError(f"{name} holds floats ({kind}), whose range nobody can know; {how}")
        limits = np.iinfo(kind)
        return limits.min, limits.max

    def _fitting(self, values: np.ndarray, name: str) -> np.ndarray:
        """With as many channels as are asked for: RGB becomes grey, grey RGB, and transparency is dropped."""
        there = values.shape[2]
        if there == 4 != self.channels and Path(name).suffix.lower() not in (NPY, *TIFF):
            values, there = values[..., :3], 3
        if there == self.channels:
            return values
        if (there, self.channels) == (3, 1):
            return grey(values)
        if (there, self.channels) == (1, 3):
            return values.repeat(3, axis=2)
        pictures = "channel" if there == 1 else "channels"
        if not self.flags:
            raise InputError(
                f"{name} has {there} {pictures}; the model was trained with {self.channels}, pass such images"
            )
        first = f", or move them to the end, if its {values.shape[0]} channels come first" * (
            values.shape[0] == self.channels
        )
        raise InputError(
            f"{name} has {there} {pictures} and --{self.flags}_nc is {self.channels}; pass --{self.flags}_nc {there}"
            f"{first}"
        )


RGB = Format()


def formats_of(options: Mapping[str, Any]) -> dict[str, Format]:
    """By the letters of the folders, what options of a run say: --input_nc, --output_nc and their like.

    --input_nc and its like tell of A as the networks know it: with --direction BtoA of train.py, of folder B.
    """
    trained = str(options.get("trained_direction") or options.get("direction") or "AtoB")
    found = {}
    for network, folder in zip(A_TO_B, exchanged(A_TO_B, trained), strict=True):
        name = FLAGS[network]
        text = options.get(f"{name}_range") or options.get("input_range")
        levels = levels_of(text, ALL_LEVELS) if text else None
        channels, kind = options.get(f"{name}_nc") or 3, options.get(f"{name}_kind") or PLAIN
        found[folder] = Format(channels, levels, kind, name)
    return found


def kind_of_file(text: str) -> str:
    """A ``Format.kind`` as the value of a flag."""
    if not any(text == f"{name}{ending}" for name in (*WHOLE, *FLOATS) for ending in (".png", ".tif", NPY)):
        raise ArgumentTypeError(f"{text!r} is not a type and an ending, such as uint16.png, int16.tif or float32.npy")
    return text
