"""BDD100K's json of a whole split -> objects of the images that have the wanted attributes.

[{"name": "b1c66a42.jpg", "attributes": {"weather": "clear", "scene": "highway", "timeofday": "night"},
  "labels": [{"category": "car", "box2d": {"x1": 1.5, "y1": 2, "x2": 9, "y2": 8}}, ...]}, ...]

x2 and y2 are the last pixels inside: the data set's own conversion to COCO counts x2 - x1 + 1 columns.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.boxes.objects import Found, Object, size_of, within
from data.placement import Size
from instagan.errors import InputError
from instagan.io.categories import clean
from instagan.io.locating import leads_out, locate
from instagan.io.text_files import read_json
from instagan.io.values import number

CLASSES = ("car=car", "sign=traffic sign", "person=person,pedestrian,rider")
"""Categories of both releases -> the three that INIT has as well."""

Wanted = Mapping[str, Sequence[str]]
"""Attribute -> the values of it that are taken; all attributes must fit."""


def read_bdd100k(path: Path, images: Path, domains: Mapping[str, tuple[Wanted, Found]]) -> None:
    """Adds each image to the domain whose attributes it has. Raises ``InputError``.

    Images that are not there are left out, and counted.
    """
    content = read_json(path, "pass a label file of BDD100K")
    if isinstance(content, dict):
        content = content.get("frames")  # as Scalabel writes them
    if not isinstance(content, list):
        raise InputError(f"{path} is not a label file of BDD100K: it holds no list of images; pass det_train.json, say")
    values: defaultdict[str, Counter[str]] = defaultdict(Counter)
    chosen: Counter[str] = Counter()
    for place, record in enumerate(content):
        with domains[min(domains)][1].part(f"{path}, image {place}", pictures=1, instances=0):
            attributes = {name: clean(value) for name, value in (record.get("attributes") or {}).items()}
            for name, value in attributes.items():
                values[name][value] += 1
            for letter, (wanted, found) in domains.items():
                if all(attributes.get(name) in of_name for name, of_name in wanted.items()):
                    chosen[letter] += 1
                    _read_image(f"{path}, image {place} ({record['name']})", record, images, found)
    for letter, (wanted, _) in domains.items():
        if not chosen[letter]:
            asked = " ".join(f"{name}={','.join(of_name)}" for name, of_name in wanted.items())
            told = "; ".join(f"{name} is {', '.join(sorted(values[name])) or 'not told'}" for name in wanted)
            raise InputError(f"{path} has no image of domain {letter} ({asked}): there {told}; choose another value")


def _read_image(where: str, record: dict[str, Any], images: Path, found: Found) -> None:
    name = record["name"]
    path = locate(images, name)
    if path is None:
        if leads_out(name):
            raise ValueError(f"the file name leads out of {images}")
        found.left_out["images that are not there"] += 1
        return
    size = size_of(path)
    before, objects = len(found.problems), []
    for place, label in enumerate(record.get("labels") or []):
        with found.part(f"{where}, label {place}"):
            category = found.category(label["category"])
            if category is not None:
                objects.append(Object(category, _box(label["box2d"], size)))
    found.add(path.relative_to(images).as_posix(), size, objects, before)


def _box(box: Mapping[str, Any], size: Size) -> tuple[float, float, float, float]:
    left, top, right, bottom = (number(box[edge]) for edge in ("x1", "y1", "x2", "y2"))
    return within(left, top, right + 1, bottom + 1, size)
