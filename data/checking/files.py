"""One picture and its masks, read as the loader reads them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from data.checking.findings import Finding
from data.checking.masks import COVERING, Region, closest_overlaps, levels_problem, may_be_transparent, transparency
from data.checking.naming import Task
from instagan.errors import InputError
from instagan.io.reading import LOSSY, inside_of, is_deep, open_upright, read_parts

JPEG = ("JPEG", "MPO")
FORMATS = {".png": ("PNG",), ".jpg": JPEG, ".jpeg": JPEG, ".bmp": ("BMP", "DIB"), ".webp": ("WEBP",)}
FORMATS |= {".tif": ("TIFF",), ".tiff": ("TIFF",)}
"""What a file holds, in PIL's words, by the ending of its name."""


Shown = TypeVar("Shown")


@dataclass(frozen=True)
class Limits:
    """tiny_area: masks of fewer pixels are tiny. overlap: masks of one picture overlap heavily from this intersection
    over union on. imbalance: domains differ very much from this ratio of their numbers of pictures on. parts: masks are
    label maps of so many parts, if it is not 0."""

    tiny_area: int = 16
    overlap: float = 0.5
    imbalance: float = 5.0
    parts: int = 0


def check_files(task: Task, root: Path, limits: Limits) -> list[Finding]:
    """Everything that is wrong with the files of one picture. Never raises for what a file holds."""
    picture = File(task.picture.relative_to(root).as_posix(), task.picture)
    pixels = picture.read(task.format.read)  # (H, W, C)
    size = None if pixels is None else (pixels.shape[1], pixels.shape[0])
    if pixels is not None and task.format.reads_rgb(task.picture):
        picture.describe()
    findings = picture.findings
    regions: list[tuple[File, Region]] = []
    for path in task.masks:
        mask = File(path.relative_to(root).as_posix(), path)
        shown = mask.read(_read_labels if limits.parts else _read_mask)
        if shown is not None:
            stored, inside = shown
            mask.describe(None if limits.parts else stored)
            if limits.parts and (highest := int(inside.max())) > limits.parts:
                mask.add("refused", f"holds part {highest}, and there are {limits.parts} (--parts)")
            inside = inside > 0
            if size and stored.size != size:
                sizes = f"{stored.width}x{stored.height} but its picture {size[0]}x{size[1]}"
                mask.add("size_mismatch", f"is {sizes}; masks must have the size of their picture")
            else:
                region = Region.of(inside)
                _judge_area(mask, region.area, inside.size, limits)
                if region.area:
                    regions.append((mask, region))
        findings.extend(mask.findings)
    findings.extend(_overlaps(regions, limits.overlap))
    return findings


def _read_mask(path: Path) -> tuple[Image.Image, np.ndarray]:
    """``read_inside`` with what it makes it of."""
    stored = open_upright(path)
    return stored, inside_of(stored, lossy=path.suffix.lower() in LOSSY)


def _read_labels(path: Path) -> tuple[Image.Image, np.ndarray]:
    """``read_parts`` with what it makes it of."""
    return open_upright(path), read_parts(path)


class File:
    """A file that is being looked at, by the name that findings give it, and what was found in it so far."""

    def __init__(self, name: str, path: Path) -> None:
        self.path, self.name = path, name
        self.findings: list[Finding] = []

    def add(self, code: str, message: str, brightest: int = 0) -> None:
        self.findings.append(Finding(self.name, code, message, brightest))

    def read(self, reader: Callable[[Path], Shown]) -> Shown | None:
        """What the loader makes of the file; None, and a finding, where it refuses. Warnings become findings."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                shown = reader(self.path)
            except Exception as error:  # whatever it is, training would stop there
                self.add(*_refusal(self.path, error))
                return None
        for message in sorted({" ".join(str(warning.message).split()) for warning in caught}):
            self.add("reader_warning", f"is read, but with a warning: {message}")
        return shown

    def describe(self, mask: Image.Image | None = None) -> None:
        """What is unusual about a file that can be read; ``mask``: as it is stored, if it is one."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                with Image.open(self.path) as image:
                    self._describe_kind(image, mask is not None)
                    if may_be_transparent(image) and transparency(mask or image).getextrema()[0] < 255:
                        made = "what is opaque is inside" if mask else "its transparency is dropped"
                        self.add("transparency", f"is transparent in places; {made}")
                    if mask and (problem := levels_problem(mask, image.format in JPEG)):
                        self.add(*problem)
            except Exception as error:  # further pictures of an animation may be damaged, and nobody needs them
                self.add("reader_warning", f"is read, but not all of it can be: {' '.join(str(error).split())}")

    def _describe_kind(self, image: Image.Image, is_mask: bool) -> None:
        """What the head of the file tells."""
        if image.format not in FORMATS[self.path.suffix.lower()]:
            self.add("wrong_ending", f"is a {image.format} file, whatever its name says; it is read as one")
        if (frames := getattr(image, "n_frames", 1)) > 1:
            self.add("animated", f"holds {frames} pictures; the first is used")
        if image.mode == "CMYK":
            self.add("cmyk", "is made for print (CMYK); it is turned into RGB without its colour profile")
        deep = image.format in ("PNG", "TIFF") and is_deep(image)
        if image.mode[0] in "IF" or deep:
            made = "black and white at half of its brightest pixel" if is_mask else "8 bits a channel"
            brightest = 0 if is_mask or image.mode[0] == "F" else int(np.asarray(image).max())
            if image.mode[0] != "I":  # colours, of which Pillow gives the upper 8 bits
                brightest *= 257
            self.add("sixteen_bit", f"has more than 8 bits a channel; it is turned into {made}", brightest)


def _refusal(path: Path, error: Exception) -> tuple[str, str]:
    """Code and message for a file that the loader refuses."""
    if isinstance(error, InputError) and error.__context__ is None:
        return "refused", str(error).removeprefix(f"{path} ")
    cause = error.__context__ if isinstance(error, InputError) and error.__context__ else error
    if isinstance(cause, OSError) and cause.errno is not None:
        return "unreadable", f"cannot be read: {cause.strerror}"
    if path.exists() and path.stat().st_size == 0:
        return "zero_bytes", "is empty: 0 bytes; put back or remove it"
    if isinstance(cause, UnidentifiedImageError):
        return "unreadable", "cannot be read: what it holds is no picture of a known kind"
    reason = " ".join(str(cause).split()) or type(cause).__name__
    if "truncat" in reason.lower():
        return "truncated", f"ends too early ({reason}); copy or export it again"
    return "unreadable", f"cannot be read: {reason}"


def _judge_area(mask: File, area: int, pixels: int, limits: Limits) -> None:
    if area == 0:
        mask.add("empty_mask", "shows nothing, and is no instance")
    elif area < limits.tiny_area:
        mask.add("tiny_mask", f"shows {area} pixels; that is little to learn from (--tiny_area {limits.tiny_area})")
    elif area >= COVERING * pixels:
        mask.add("full_mask", f"covers {area / pixels:.0%} of the picture; are inside and outside exchanged?")


def _overlaps(regions: list[tuple[File, Region]], least: float) -> Iterator[Finding]:
    for index, earlier, share in closest_overlaps([region for _, region in regions], least):
        name, other = regions[index][0].name, regions[earlier][0].path.name
        if share == 1:
            yield Finding(name, "duplicate_mask", f"shows the same pixels as {other}; remove one of them")
        else:
            yield Finding(name, "overlapping_masks", f"overlaps {other}: intersection over union {share:.2f}")
