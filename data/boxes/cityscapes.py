"""Cityscapes' gtFine polygons json -> objects with masks and boxes.

{"imgHeight": 1024, "imgWidth": 2048, "objects": [{"label": "car", "polygon": [[x, y], ...]}, ...]}

The objects are painted one over the other in their order, so that a later one hides what is behind it: an object's mask
is what is seen of it, as in the data set's own instanceIds images, and its box is that of the mask.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from data.boxes.objects import Found, Object
from data.placement import Size
from instagan.errors import InputError
from instagan.io.boxes import box_of
from instagan.io.categories import clean
from instagan.io.text_files import read_json
from instagan.io.values import number

CLASSES = ("car=car", "person=person,rider", "truck=truck", "bicycle=bicycle")
"""Labels -> the categories in which KITTI and Cityscapes are compared."""

IMAGE, POLYGONS = "_leftImg8bit", "_gtFine_polygons"
"""What names of images and of annotations end in."""

GROUP = "group"
"""Ends the label of a region of many objects that nobody told apart: cargroup, persongroup."""

UNPAINTED = ("license plate",)
"""Labels that hide nothing: the plate is part of its car."""


def read_cityscapes(path: Path, size: Size, found: Found) -> list[Object]:
    """Raises ``InputError`` for a file that is none of Cityscapes, or is of an image of another size."""
    content = read_json(path, "take it from a fresh copy of gtFine")
    if not isinstance(content, dict) or not isinstance(content.get("objects"), list):
        raise InputError(f"{path} is not a polygons file of Cityscapes: it has no list 'objects'; pass that of gtFine")
    told = content.get("imgWidth"), content.get("imgHeight")
    if told != size:
        raise InputError(
            f"{path} is of an image of {told[0]}x{told[1]} pixels but its image is {size[0]}x{size[1]}; "
            "put back the image that was annotated"
        )
    canvas = Image.new("I", size)  # which object is seen at each pixel, from 1
    pen = ImageDraw.Draw(canvas)
    wanted: dict[int, str] = {}
    for place, record in enumerate(content["objects"]):
        with found.part(f"{path}, object {place}"):
            label = clean(record["label"])
            if record.get("deleted") or label in UNPAINTED:
                continue
            is_group = label.endswith(GROUP) and label != GROUP
            category = None if is_group else found.category(label)
            if is_group:
                found.left_out[f"groups ({label})"] += 1
            pen.polygon(_corners(record["polygon"]), fill=place + 1)
            if category is not None:
                wanted[place + 1] = category
    return list(_seen(np.asarray(canvas), wanted, found))


def _seen(canvas: np.ndarray, wanted: dict[int, str], found: Found) -> list[Object]:
    objects = []
    for value, category in wanted.items():
        inside = canvas == value  # (H, W)
        if not inside.any():
            found.left_out["objects hidden by others"] += 1
            continue
        box = box_of(inside)
        corners = float(box.left), float(box.top), float(box.right), float(box.bottom)
        objects.append(Object(category, corners, runs_of(inside)))
    return objects


def runs_of(inside: np.ndarray) -> dict[str, Any]:
    """A mask (H, W) bool -> COCO's runs: lengths of outside and inside by turns, down the columns, outside first."""
    flat = np.concatenate([[False], inside.ravel(order="F")])  # (1 + H W,)
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], changes, [inside.size]]))
    return {"size": list(inside.shape), "counts": counts.tolist()}


def _corners(points: Any) -> list[tuple[float, float]]:
    corners = [(number(x), number(y)) for x, y in points]
    if len(corners) < 3:
        raise ValueError(f"its polygon has {len(corners)} points; it takes at least three")
    return corners
