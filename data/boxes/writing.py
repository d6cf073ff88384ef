"""Images with their objects -> {phase}{domain}.json in COCO's format, and boxes.json, which tells where the images are.

    {"format": 1,
     "categories": ["car", "person"],
     "sets": {"trainA": {"images": "../KITTI/training/image_2", "source": {"format": "kitti", ...},
                         "left_out": {"DontCare regions": 3}, "skipped": ["...", ...]}, "valA": ...}}

``images`` is the folder that the file names in trainA.json are relative to; it is relative to the folder of boxes.json
where both lie in one folder, so that they can be moved together, and absolute where they do not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from data.boxes.objects import Annotated, Found, Object
from instagan.errors import InputError
from instagan.io.text_files import read_json
from instagan.io.writing import make_folder, write_together

FILE_NAME = "boxes.json"
FORMAT = 1
ADVICE = "make it with one of scripts/prepare_boxes.py, prepare_init.py, prepare_kitti.py, ..."


@dataclass(frozen=True)
class BoxSet:
    """The images of one domain ("A" or "B") in one phase, their folder, and what a reader has found of them."""

    phase: str
    letter: str
    folder: Path
    found: Found

    @property
    def name(self) -> str:
        return f"{self.phase}{self.letter}"


@dataclass(frozen=True)
class Listed:
    """What boxes.json tells of one set. annotations: its json. images: the folder of its images."""

    annotations: Path
    images: Path
    categories: tuple[str, ...]


def read_index(root: Path, flag: str = "--dataroot") -> dict[str, Listed]:
    """Name of a set, such as trainA -> where it is. Raises ``InputError`` where there is no boxes.json."""
    path = root / FILE_NAME
    if not root.is_dir():
        raise InputError(f"{flag} {root}: no such folder; pass a folder that holds {FILE_NAME}, or {ADVICE}")
    content = read_json(path, ADVICE)
    try:
        if content["format"] != FORMAT:
            raise ValueError
        categories = tuple(str(name) for name in content["categories"])
        return {
            name: Listed(root / f"{name}.json", root / record["images"], categories)
            for name, record in content["sets"].items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"{path} is not a list of sets with boxes; {ADVICE}") from None


def save(
    root: Path, sets: Sequence[BoxSet], categories: Sequence[str], source: Mapping[str, Any], overwrite: bool = False
) -> None:
    """Writes the sets beside those that are there. Raises ``InputError`` where one of these would be replaced, or has
    other categories: an object's label is its place among them, in both domains."""
    earlier: dict[str, Any] = {}
    if (root / FILE_NAME).exists():
        read_index(root)
        earlier = read_json(root / FILE_NAME, ADVICE)
    kept = {name: told for name, told in earlier.get("sets", {}).items() if name[-1] not in {s.letter for s in sets}}
    replaced = [name for name in earlier.get("sets", {}) if name not in kept]
    if replaced and not overwrite:
        raise InputError(
            f"{root} holds {', '.join(replaced)} already; pass --overwrite to replace it, or another folder"
        )
    if kept and earlier["categories"] != list(categories):
        told = f"{', '.join(earlier['categories'])} in {', '.join(kept)} but {', '.join(categories)} here"
        raise InputError(
            f"{root} has the categories {told}; pass --classes so that both domains have the same, in order"
        )
    make_folder(root, "pass another --save_root")
    told = {one.name: _described(one, root, source) for one in sets}
    index = {"format": FORMAT, "categories": list(categories), "sets": dict(sorted((kept | told).items()))}
    contents = {root / f"{one.name}.json": _coco(one.found.images, categories) for one in sets} | {
        root / FILE_NAME: index
    }
    write_together({path: partial(_write, content) for path, content in contents.items()}, "pass another --save_root")
    for name in set(replaced) - set(told):
        (root / f"{name}.json").unlink(missing_ok=True)


def _write(content: Any, path: Path) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _described(one: BoxSet, root: Path, source: Mapping[str, Any]) -> dict[str, Any]:
    images, beside = one.folder.resolve(), root.resolve().parent
    relative = images.is_relative_to(beside)
    return {
        "images": Path(os.path.relpath(images, root.resolve())).as_posix() if relative else str(images),
        "source": dict(source),
        "left_out": dict(sorted(one.found.left_out.items())),
        "skipped": [problem.sentence for problem in one.found.problems],
    }


def _coco(images: Sequence[Annotated], categories: Sequence[str]) -> dict[str, Any]:
    """COCO's lists; ids count from 1."""
    numbers = {name: number for number, name in enumerate(categories, 1)}
    annotations: list[dict[str, Any]] = []
    for image, listed in enumerate(images, 1):
        for one in listed.objects:
            annotations.append(_annotation(one, len(annotations) + 1, image, numbers))
    return {
        "images": [
            {"id": number, "file_name": one.name, "width": one.size[0], "height": one.size[1]}
            for number, one in enumerate(images, 1)
        ],
        "categories": [{"id": number, "name": name} for name, number in numbers.items()],
        "annotations": annotations,
    }


def _annotation(one: Object, number: int, image: int, numbers: Mapping[str, int]) -> dict[str, Any]:
    left, top, right, bottom = one.box
    record = {"id": number, "image_id": image, "category_id": numbers[one.category], "iscrowd": 0}
    record |= {"bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top)}
    return record if one.segmentation is None else record | {"segmentation": one.segmentation}
