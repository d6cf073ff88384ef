"""A json in COCO's format -> the pictures that show instances of given categories, and their segmentations."""

from __future__ import annotations

import difflib
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from instagan.errors import InputError
from instagan.pictures.segmentations import decode

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
            try:
                masks.append(decode(segmentation, size))
            except ValueError as error:
                raise InputError(f"{self.file}, annotation {number}: {error}; mend or remove this annotation") from None
        return masks


def read_annotated(file: Path, categories: list[str]) -> list[Annotated]:
    """The pictures with an instance of one of the categories, by file name. Crowd regions are no instances."""
    content = _read(file)
    try:
        names = {record["id"]: str(record["name"]) for record in content["categories"]}
        check_categories(categories, list(names.values()), "--category", str(file))
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
        path = PurePosixPath(pictures[image])
        if path.is_absolute() or ".." in path.parts or "\0" in pictures[image]:
            raise InputError(f"{file}: the file name {pictures[image]!r} leads out of --images; mend it")
    annotated = [Annotated(file, pictures[image], tuple(instances)) for image, instances in found.items()]
    return sorted(annotated, key=lambda picture: picture.name)


def check_categories(names: list[str], known: list[str], flag: str, where: str) -> None:
    """Raises ``InputError`` with the nearest names for the first that is not known."""
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 5, 0.5)
            there = f"the nearest are: {', '.join(near)}" if near else f"there are: {', '.join(known[:80])}"
            raise InputError(f"{flag}: {where} has no category {name!r}; {there}")


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; pass the json of the annotations") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); {ADVICE}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not a json file ({error}); {ADVICE}") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise InputError(f"{file} is not in COCO's format: it has no list {key!r}; {ADVICE}")
    return content
