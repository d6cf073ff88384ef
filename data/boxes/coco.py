"""A json in COCO's format -> objects, with their boxes or segmentations; docs/coco.md tells how it is read."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

from data.boxes.objects import Corners, Found, Object, within
from data.placement import Size
from instagan.io.boxes import box_of
from instagan.io.categories import clean
from instagan.io.coco import ADVICE, CROWD
from instagan.io.coco_pictures import read_pictures
from instagan.io.segmentations import Rectangle, decode
from instagan.io.text_files import read_json


def read_coco(path: Path, images: Path, found: Found) -> None:
    """Adds the images of a json. Raises ``InputError`` for one that is none of COCO's."""
    known = _names(path)
    wanted = [name for name in known if found.classes.names is None or name in found.classes.names]
    read = read_pictures(path, images, {"--classes": wanted}, skip_bad=True, bare=True)
    for name, fates in read.records.fates.items():
        found.seen[name] += fates.total()
        if fates[CROWD]:
            found.left_out[f"crowd regions of class {name}"] += fates[CROWD]
    found.problems.extend(read.records.problems)
    if read.absent:
        found.left_out["images that are not there"] += len(read.absent)
    for picture in read.pictures:
        assert picture.size
        before, objects = len(found.problems), []
        for instance in picture.instances:
            with found.part(f"{path}, annotation {instance.id}"):
                category = found.classes.names[instance.category] if found.classes.names else instance.category
                objects.append(_object(category, instance.segmentation, picture.size))
        found.add(picture.path.relative_to(images).as_posix(), picture.size, objects, before)


def _object(category: str, segmentation: Any, size: Size) -> Object:
    if isinstance(segmentation, Rectangle):
        return Object(category, within(*segmentation.corners, size))
    return Object(category, _box(segmentation, size), _as_json(segmentation))


def _box(segmentation: Any, size: Size) -> Corners:
    """Around polygons, or around what runs show."""
    if isinstance(segmentation, dict):
        inside = decode(segmentation, size)  # (H, W)
        if not inside.any():
            raise ValueError("its runs (RLE) show nothing")
        box = box_of(inside)
        return float(box.left), float(box.top), float(box.right), float(box.bottom)
    across = [value for polygon in segmentation for value in polygon[::2]]
    down = [value for polygon in segmentation for value in polygon[1::2]]
    return within(min(across), min(down), max(across), max(down), size)


def _as_json(segmentation: Any) -> Any:
    if isinstance(segmentation, (list, tuple)):
        return [polygon.tolist() if isinstance(polygon, array) else list(polygon) for polygon in segmentation]
    return segmentation


def _names(path: Path) -> list[str]:
    """Of all categories. What is wrong with the file is told when it is read as a whole."""
    content = read_json(path, ADVICE)
    listed = content.get("categories") if isinstance(content, dict) else None
    records = listed if isinstance(listed, list) else []
    names = [record.get("name") for record in records if isinstance(record, dict)]
    return list(dict.fromkeys(clean(name) for name in names if isinstance(name, str)))
