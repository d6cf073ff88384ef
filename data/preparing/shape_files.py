"""Files of annotation tools -> shapes: LabelMe and VIA json, YOLO segmentation txt."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from data.placement import Size
from data.preparing.shapes import Corners, Shape, as_corners, checked, ellipse
from instagan.errors import InputError


def read_labelme(path: Path) -> tuple[list[Shape], Size | None]:
    """The shapes of a LabelMe json, and the size of the picture it was drawn on. Raises ``InputError``."""
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise InputError(f"{path} is not a LabelMe file: it has no list 'shapes'; save it again with LabelMe")
    shapes = []
    for number, record in enumerate(content["shapes"]):
        try:
            corners = _labelme_outline(record.get("shape_type") or "polygon", record["points"])
            group = record.get("group_id")
            instance = number if group is None else f"group {group}"
            shapes.append(Shape(str(record["label"]), instance, corners))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}, shape {number}: {_reason(error)}; mend or remove it") from None
    width, height = content.get("imageWidth"), content.get("imageHeight")
    return shapes, (width, height) if isinstance(width, int) and isinstance(height, int) else None


def _labelme_outline(kind: str, points: Any) -> Corners:
    corners = as_corners(points)
    if kind == "polygon":
        return checked(corners)
    if kind == "rectangle" and len(corners) == 2:
        (left, top), (right, bottom) = corners
        return ((left, top), (right, top), (right, bottom), (left, bottom))
    if kind == "circle" and len(corners) == 2:
        return ellipse(*corners[0], math.dist(*corners), math.dist(*corners))
    raise ValueError(f"a {kind} of {len(corners)} points has no area; draw a polygon, a rectangle or a circle")


def read_yolo(path: Path) -> list[Shape]:
    """The shapes of a YOLO segmentation txt: lines of CLASS x y x y x y ... in shares of width and height."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); export the labels again") from None
    shapes = []
    for number, line in enumerate(lines):
        words = line.split()
        if not words:
            continue
        try:
            if len(words) == 5:
                raise ValueError("is a box; export segmentation labels instead")
            if len(words) % 2 == 0:
                raise ValueError("has an odd number of coordinates")
            numbers = [float(word) for word in words[1:]]
            corners = checked(as_corners(list(zip(numbers[::2], numbers[1::2], strict=True))))
            if any(not -0.5 <= number <= 1.5 for number in numbers):
                raise ValueError("has coordinates that are no shares of width and height")
            shapes.append(Shape(str(int(words[0])), number, corners, relative=True))
        except ValueError as error:
            raise InputError(f"{path}, line {number + 1}: {error}; mend or remove it") from None
    return shapes


def read_via(path: Path, attribute: str | None) -> dict[str, list[Shape]]:
    """File name -> shapes, of a VGG Image Annotator json (project or exported annotations, version 1 or 2).

    ``attribute`` names the region attribute that holds the label; by default a region's only one, or its first.
    """
    content = read_json(path)
    records = content.get("_via_img_metadata", content) if isinstance(content, dict) else None
    if not isinstance(records, dict) or not all(
        isinstance(record, dict) and "filename" in record and "regions" in record for record in records.values()
    ):
        raise InputError(f"{path} is not a VIA file: it has no pictures with regions; export the annotations as json")
    pictures: dict[str, list[Shape]] = {}
    for record in records.values():
        regions = record["regions"] or []
        if not isinstance(regions, (dict, list)):
            raise InputError(f"{path}: the regions of {record['filename']} are no list; export the annotations again")
        for number, region in enumerate(regions.values() if isinstance(regions, dict) else regions):
            try:
                corners = _via_outline(region["shape_attributes"])
                shape = Shape(_via_label(region.get("region_attributes") or {}, attribute), number, corners)
            except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
                raise InputError(
                    f"{path}, region {number} of {record['filename']}: {_reason(error)}; mend or remove it"
                ) from None
            pictures.setdefault(str(record["filename"]), []).append(shape)
        pictures.setdefault(str(record["filename"]), [])
    return pictures


def _via_outline(shape: dict[str, Any]) -> Corners:
    kind = shape["name"]
    if kind in ("polygon", "polyline"):
        return checked(as_corners(list(zip(shape["all_points_x"], shape["all_points_y"], strict=True))))
    if kind == "rect":
        left, top = float(shape["x"]), float(shape["y"])
        right, bottom = left + float(shape["width"]), top + float(shape["height"])
        return checked(as_corners([(left, top), (right, top), (right, bottom), (left, bottom)]))
    if kind in ("circle", "ellipse"):
        across, down = (shape["r"], shape["r"]) if kind == "circle" else (shape["rx"], shape["ry"])
        return ellipse(float(shape["cx"]), float(shape["cy"]), float(across), float(down), float(shape.get("theta", 0)))
    raise ValueError(f"a {kind} has no area; draw a polygon, rect, circle or ellipse")


def _via_label(attributes: dict[str, Any], attribute: str | None) -> str:
    value = attributes.get(attribute, "") if attribute else next(iter(attributes.values()), "")
    if isinstance(value, dict):  # check boxes: {"sheep": true}
        value = next((name for name, ticked in value.items() if ticked), "")
    return str(value)


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; pass the annotations") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a json file ({error}); export the annotations again") from None


def _reason(error: Exception) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)
