"""The nouns of a data set: a mask, a picture with its masks, one domain's pictures."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from data.keypoints import Keypoints
from data.placement import Size
from data.preparing.tasks import Category
from instagan.errors import InputError, one_line
from instagan.flag_types import levels
from instagan.io.formats import RGB, Format, kind_of_file
from instagan.io.pixels import as_shown
from instagan.io.reading import read_inside, read_parts

Box = tuple[float, float, float, float]


class Mask(Protocol):
    """Where one instance's mask comes from. Travels to other processes, so it is small and holds no open file.

    number     of its mask file, or the place among the instances of its picture
    label      category index within its domain's categories
    source_id  id of the annotation that it was made from, where that is known
    box        left, top, right, bottom in pixels of the file, where the data gives a box and no mask
    keypoints  where the data gives some, and they are looked at
    """

    @property
    def number(self) -> int: ...
    @property
    def label(self) -> int: ...
    @property
    def source_id(self) -> int | str | None: ...
    @property
    def box(self) -> Box | None: ...
    @property
    def keypoints(self) -> Keypoints | None: ...

    def read(self, size: Size) -> np.ndarray:
        """Which pixels are inside, (H, W) bool; where there is a box alone, its rectangle. Raises ``InputError`` naming
        it if it is bad or not of ``size``."""

    def read_parts(self, size: Size, count: int) -> list[np.ndarray]:
        """Which pixels are part 1, 2, ... ``count`` of the instance, (H, W) bool each, none in two of them. Raises
        ``InputError`` naming it if it is bad, or has other parts."""

    def fingerprint(self) -> str:
        """Changes when what is read changes: what a cache compares. Raises ``OSError`` for a file that is gone."""


def file_fingerprint(path: Path) -> str:
    """Path, time of the last change in nanoseconds and size in bytes."""
    found = os.stat(path)
    return f"{os.path.abspath(path)} {found.st_mtime_ns} {found.st_size}"


@dataclass(frozen=True)
class MaskFile:
    """A mask that is a picture file. parts: it is a label map of them, all of which are inside."""

    path: Path
    number: int
    label: int = 0
    source_id: int | str | None = None
    keypoints: Keypoints | None = None
    parts: bool = False
    box = None

    def read(self, size: Size) -> np.ndarray:
        return self._fitting(read_parts(self.path) > 0 if self.parts else read_inside(self.path), size)

    def read_parts(self, size: Size, count: int) -> list[np.ndarray]:
        labels = self._fitting(read_parts(self.path), size)  # (H, W)
        if labels.max() > count:
            raise InputError(
                f"{self.path} holds part {labels.max()}, but --attribute_channels is {count}; pixels are 0 outside of "
                f"the instance and 1 to {count} in its parts"
            )
        return [labels == part for part in range(1, count + 1)]

    def _fitting(self, found: np.ndarray, size: Size) -> np.ndarray:
        height, width = found.shape
        if (width, height) != size:
            raise InputError(
                f"{self.path} is {width}x{height} but its picture is {size[0]}x{size[1]}; "
                "masks must have the size of their picture"
            )
        return found

    def fingerprint(self) -> str:
        return file_fingerprint(self.path)


@dataclass(frozen=True)
class Entry:
    """One picture and its masks in the order of their numbers.

    size       width and height at which it was annotated, where that is known; then the picture must agree
    name       what result files are called after it (default: the stem of its file)
    source_id  id of the picture in what it was made from, where that is known
    format     how many channels it has, and what is black and white in a picture of more than 8 bits a channel
    """

    picture: Path
    masks: tuple[Mask, ...] = ()
    size: Size | None = None
    name: str = ""
    source_id: int | str | None = None
    format: Format = RGB

    @property
    def stem(self) -> str:
        return self.name or self.picture.stem

    @property
    def mask_numbers(self) -> tuple[int, ...]:
        return tuple(mask.number for mask in self.masks)

    def read_picture(self) -> Image.Image:
        """As it is shown: RGB of 8 bits."""
        return as_shown(self.read_pixels())

    def read_pixels(self) -> np.ndarray:
        """(H, W, C) uint8, or floats as shares of the range, see ``Format.read``."""
        return self.format.read(self.picture, self.size)


@dataclass(frozen=True)
class Domain:
    """The pictures of one domain.

    title       how the domain is called, such as "trainA"
    categories  of both domains, by letter; an instance's label is the index into those of its own domain
    note        what the user should know about it, such as pictures that are absent
    """

    title: str
    entries: list[Entry]
    categories: Mapping[str, tuple[Category, ...]] = field(default_factory=dict)
    note: str = ""

    def with_format(self, format: Format) -> Domain:
        return replace(self, entries=[replace(entry, format=format) for entry in self.entries])

    def first(self, count: int) -> Domain:
        return replace(self, entries=self.entries[:count])

    def with_note(self, note: str) -> Domain:
        return replace(self, note=f"{self.note}; {note}" if self.note else note)

    def summary(self) -> str:
        """One line that counts pictures and masks, and says how many pictures have no mask."""
        masks = sum(len(entry.masks) for entry in self.entries)
        bare = sum(not entry.masks for entry in self.entries)
        line = f"{self.title}: {len(self.entries)} pictures, {masks} instance masks"
        line += f"; {bare} of the pictures have no mask" if bare and masks else ""
        return one_line(line + (f"; {self.note}" if self.note else ""))


FORMAT_FLAGS = ("input_range", "output_range", "input_kind", "output_kind")


def add_input_range(add: Callable[..., object]) -> None:
    """A flag that all programs have that read images; add: of the parser, or of a group of it."""
    add(
        "--input_range", type=levels, metavar="BLACK-WHITE",
        help="images of more than 8 bits: the levels that are black and white, 0-4095 for 12 bits, or LOW:HIGH of any "
        "numbers (default: all that their type holds)",
    )  # fmt: skip


def add_formats(add: Callable[..., object]) -> None:
    """Flags that all sources have: ``FORMAT_FLAGS``."""
    add_input_range(add)
    add("--output_range", type=levels, metavar="BLACK-WHITE", help="the same of B (default: --input_range)")
    kind = "type and ending of files that images are written to, such as uint16.tif (default: as the first one of"
    add("--input_kind", type=kind_of_file, metavar="KIND", help=f"{kind} A)")
    add("--output_kind", type=kind_of_file, metavar="KIND", help=f"{kind} B)")


class DataSource(Protocol):
    """A way to find pictures and masks: a value of ``--dataset_mode``.

    inherited   names of its flags whose values in training are the defaults when translating
    """

    inherited: tuple[str, ...]

    def add_options(self, parser: ArgumentParser) -> None:
        """Adds its own flags."""

    def check(self, options: Namespace) -> None:
        """Raises ``InputError`` for flags that are missing or wrong by themselves; reads nothing."""

    def list_domains(self, options: Namespace, letters: str) -> dict[str, Domain]:
        """The domains asked for ("A", "B", "AB"), by letter. Raises ``InputError`` if one has no picture."""

    def instances_advice(self, options: Namespace) -> str:
        """What to do where the domains have no instance and a method needs some: the end of a sentence."""
