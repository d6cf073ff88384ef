"""What every reader of boxes gives: images with their objects, what was left out, and what is bad."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.placement import Size
from instagan.errors import InputError
from instagan.io.categories import clean
from instagan.io.problems import Problem
from instagan.io.text_files import read_text
from instagan.io.value_files import image_size
from instagan.io.values import number

BROKEN = (AttributeError, KeyError, TypeError, ValueError, IndexError)
"""What reading a record that is none raises."""

Corners = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels from the edge of the image; right and bottom are exclusive."""


@dataclass(frozen=True)
class Object:
    """category: its name in the data set. segmentation: polygons or runs as COCO has them, where the source has one."""

    category: str
    box: Corners
    segmentation: Any = None


@dataclass(frozen=True)
class Annotated:
    """One image. name: relative to its folder, parts separated by /. size: width and height in pixels, upright."""

    name: str
    size: Size
    objects: tuple[Object, ...]


@dataclass(frozen=True)
class Classes:
    """Names in the source -> names in the data set. None: all names, as they are."""

    names: Mapping[str, str] | None = None

    def targets(self) -> list[str]:
        """The names in the data set, in the order in which they were given."""
        return list(dict.fromkeys((self.names or {}).values()))


@dataclass
class Found:
    """What a reader has found in one source.

    images    with their objects, which may be none
    left_out  how many objects or images are left out on purpose, by what they are
    seen      all class names of the source
    problems  what is bad
    """

    classes: Classes
    images: list[Annotated] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    def category(self, name: Any) -> str | None:
        """What the data set calls this class; None, and counted, where it is not wanted.

        name: as the source has it. Raises ``ValueError`` where that is none, or blank.
        """
        name = clean(name)
        if not name:
            raise ValueError("it has no name of a class")
        self.seen[name] += 1
        wanted = name if self.classes.names is None else self.classes.names.get(name)
        if wanted is None:
            self.left_out[f"objects of class {name}"] += 1
        return wanted

    @contextmanager
    def part(self, where: str, pictures: int = 0, instances: int = 1) -> Iterator[None]:
        """What is bad within is noted as a problem that costs so much, and left out. where: file and place."""
        try:
            yield
        except InputError as error:  # names the file by itself
            self.problems.append(Problem(where, str(error), pictures, instances))
        except BROKEN as error:
            self.problems.append(Problem(where, f"{where}: {_reason(error)}; fix or remove it", pictures, instances))

    def add(self, name: str, size: Size, objects: Sequence[Object], problems_before: int) -> None:
        """Adds an image; one whose objects are all bad is left out, for it would be shown as one without any."""
        bad = self.problems[problems_before:]
        if objects or not bad:
            self.images.append(Annotated(name, size, tuple(objects)))
        else:
            first = bad[0]
            self.problems[problems_before] = Problem(first.file, first.sentence, 1, first.instances)


def within(left: Any, top: Any, right: Any, bottom: Any, size: Size) -> Corners:
    """A box of numbers, or of text that holds them, cut at the edge of the image. Raises ``ValueError``."""
    corners = number(left), number(top), number(right), number(bottom)
    told = " ".join(f"{value:g}" for value in corners)
    if corners[0] >= corners[2] or corners[1] >= corners[3]:
        raise ValueError(f"the box {told} has its right or bottom edge before its left or top edge")
    width, height = size
    cut = max(corners[0], 0.0), max(corners[1], 0.0), min(corners[2], float(width)), min(corners[3], float(height))
    if cut[0] >= cut[2] or cut[1] >= cut[3]:
        raise ValueError(f"the box {told} lies outside of the image, which is {width}x{height}")
    return cut


def lines_of(path: Path) -> list[tuple[str, list[str]]]:
    """The lines of a text file that are not blank: file and line number, and the words. Raises ``InputError``."""
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); export the annotations again") from None
    lines = enumerate(text.split("\n"), 1)
    return [(f"{path}, line {place}", line.split()) for place, line in lines if line.strip()]


def size_of(path: Path, told: Size | None = None) -> Size:
    """Width and height of an image, upright. told: what the annotation says. Raises ``InputError``."""
    size = image_size(path)
    if told and told != size:
        raise InputError(
            f"{path} is {size[0]}x{size[1]} pixels but was annotated at {told[0]}x{told[1]}; "
            "put back the image that was annotated"
        )
    return size


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return str(error) if isinstance(error, ValueError) else "it is no record of this format"
