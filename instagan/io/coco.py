"""A json in COCO's format -> the pictures that show instances of given categories, and their segmentations."""

from __future__ import annotations

import json
import os
from array import array
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from instagan.errors import InputError
from instagan.io.categories import check_names
from instagan.io.segmentations import decode

ADVICE = "pass a json with the lists images, annotations and categories, as COCO has it"


@dataclass(frozen=True)
class Annotated:
    """One picture: the name of its file, and (annotation id, segmentation) of each instance. ``file`` is the json."""

    file: Path
    name: str
    instances: tuple[tuple[Any, Any], ...]

    def inside(self, size: tuple[int, int]) -> list[np.ndarray]:
        """The instances as masks (H, W) bool. size: width and height. Raises ``InputError``."""
        masks = []
        for number, segmentation in self.instances:
            with naming(self.file, number):
                masks.append(decode(segmentation, size))
        return masks


def read_annotated(file: Path, categories: list[str]) -> list[Annotated]:
    """The pictures with an instance of one of the categories, by file name. Crowd regions are no instances."""
    content = read_json(file)
    try:
        names = {record["id"]: str(record["name"]) for record in content["categories"]}
        check_names(categories, list(names.values()), "--category", str(file))
        found: defaultdict[Any, list[tuple[Any, Any]]] = defaultdict(list)
        for record in content["annotations"]:
            if names.get(record["category_id"]) in categories and not record.get("iscrowd", 0):
                found[record["image_id"]].append((record["id"], record.get("segmentation")))
        pictures = {record["id"]: str(record["file_name"]) for record in content["images"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file} is not in COCO's format: a record has no {error}; {ADVICE}") from None
    for image in found:
        if image not in pictures:
            raise InputError(f"{file} tells of instances in picture {image}, which is not in its images; {ADVICE}")
        if leads_out(pictures[image]):
            raise InputError(f"{file}: the file name {pictures[image]!r} leads out of --images; mend it")
    annotated = [Annotated(file, pictures[image], tuple(instances)) for image, instances in found.items()]
    return sorted(annotated, key=lambda picture: picture.name)


def read_json(path: Path) -> dict[str, Any]:
    """The file's content, which has the three lists. Raises ``InputError``."""
    try:
        with path.open(encoding="utf-8") as file:
            content = json.load(file, object_hook=_compact)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; pass the json of the annotations") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); {ADVICE}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a json file ({error}); {ADVICE}") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise InputError(f"{path} is not in COCO's format: it has no list {key!r}; {ADVICE}")
    return content


def _compact(record: dict[str, Any]) -> dict[str, Any]:
    """Polygons as arrays of doubles as soon as they are read: a quarter of the memory of lists of numbers."""
    polygons = record.get("segmentation")
    if isinstance(polygons, list):
        with suppress(TypeError, OverflowError):  # said later, and only if the annotation is wanted
            record["segmentation"] = [array("d", polygon) for polygon in polygons]
    return record


def leads_out(name: str) -> bool:
    """Whether a file name could be of a file outside of the folder of pictures, or cannot be of any file."""
    path = PurePosixPath(name)
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return True
    return path.is_absolute() or ".." in path.parts or "\0" in name or not path.name


@contextmanager
def naming(file: Path | str, number: Any) -> Iterator[None]:
    """Errors of ``decode`` and ``check`` become ``InputError``s that name the annotation."""
    try:
        yield
    except ValueError as error:
        raise InputError(f"{file}, annotation {number}: {error}; mend or remove this annotation") from None
