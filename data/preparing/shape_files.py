"""Files of annotation tools -> shapes: LabelMe and VIA json, YOLO segmentation txt.

A shape that cannot be read is a fault of its own: nobody may have asked for its label, and others can be used without.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from data.placement import Size
from data.preparing.shapes import Corners, Shape, as_corners, checked, ellipse
from instagan.errors import InputError
from instagan.io.categories import clean
from instagan.io.text_files import read_json, read_text
from instagan.io.values import identity, number, side

BROKEN = (AttributeError, KeyError, TypeError, ValueError, OverflowError)
"""What reading a record that is none raises."""
EXPORT = "export the annotations again"


@dataclass(frozen=True)
class Fault:
    """A shape that cannot be read, in one sentence; label None: nobody knows which it would have."""

    label: str | None
    instance: int | str
    sentence: str


@dataclass
class Drawing:
    """What was drawn on one picture. size: of that picture, where it is told. problem: why nothing could be read."""

    shapes: list[Shape] = field(default_factory=list)
    size: Size | None = None
    faults: list[Fault] = field(default_factory=list)
    problem: str = ""


def read_labelme(path: Path) -> Drawing:
    """A LabelMe json. Raises ``InputError`` for a file that is none."""
    content = read_json(path, EXPORT)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise InputError(f"{path} is not a LabelMe file: it has no list 'shapes'; save it again with LabelMe")
    drawing = Drawing()
    for place, record in enumerate(content["shapes"]):
        label: str | None = None
        instance: int | str = place
        try:
            label = clean(record["label"])
            group = record.get("group_id")
            instance = place if group is None else f"group {group}"
            kind = str(record.get("shape_type") or "polygon")
            if kind == "mask":
                corners, pixels = _labelme_mask(as_corners(record["points"]), record["mask"])
                drawing.shapes.append(Shape(label, instance, corners, pixels=pixels))
            else:
                drawing.shapes.append(Shape(label, instance, _labelme_outline(kind, record["points"])))
        except BROKEN as error:
            drawing.faults.append(Fault(label, instance, f"{path}, shape {place}: {_reason(error)}; fix or remove it"))
    with suppress(ValueError):
        width, height = (side(content.get(key), key) for key in ("imageWidth", "imageHeight"))
        drawing.size = (width, height) if width and height else None
    return drawing


def _labelme_outline(kind: str, points: Any) -> Corners:
    corners = as_corners(points)
    if kind == "polygon" or len(corners) == 4 and ("rect" in kind or "rotat" in kind):
        return checked(corners)
    if kind == "rectangle" and len(corners) == 2:
        (left, top), (right, bottom) = corners
        return ((left, top), (right, top), (right, bottom), (left, bottom))
    if kind == "circle" and len(corners) == 2:
        return ellipse(*corners[0], math.dist(*corners), math.dist(*corners))
    raise ValueError(f"a {kind} of {len(corners)} points has no area; draw a polygon, a rectangle or a circle")


def _labelme_mask(corners: Corners, text: Any) -> tuple[Corners, bytes]:
    """The corners of a box, upper left first and both inside, and the png that fills it."""
    if len(corners) != 2 or not isinstance(text, str):
        raise ValueError(f"a mask of {len(corners)} points; it takes two, and a png in base64")
    (left, right), (top, bottom) = (sorted(int(value) for value in values) for values in zip(*corners, strict=True))
    try:
        pixels = base64.b64decode(text)
        with Image.open(io.BytesIO(pixels)) as image:
            image.load()
    except Exception as error:  # decoding a damaged picture can raise anything
        raise ValueError(f"its mask cannot be read as a png in base64 ({error})") from None
    if image.size != (right - left + 1, bottom - top + 1):
        raise ValueError(f"its mask is {image.width}x{image.height} but its box {right - left + 1}x{bottom - top + 1}")
    return ((left, top), (right, bottom)), pixels


def read_yolo(path: Path, classes: Sequence[str] = ()) -> Drawing:
    """A YOLO segmentation txt: lines of CLASS x y x y x y ... in shares of width and height.

    classes: names by number; the label of one without a name is its number. Raises ``InputError``.
    """
    try:
        lines = read_text(path).split("\n")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); export the labels again") from None
    drawing = Drawing()
    for place, line in enumerate(lines):
        label: str | None = None
        words = line.split()
        try:
            if words:
                label = _yolo_class(words[0], classes)
                drawing.shapes.append(Shape(label, place, _yolo_outline(words[1:]), relative=True))
        except ValueError as error:
            drawing.faults.append(Fault(label, place, f"{path}, line {place + 1}: {error}; fix or remove it"))
    return drawing


def _yolo_class(word: str, classes: Sequence[str]) -> str:
    found = identity(word)
    if not isinstance(found, int) or found < 0:
        raise ValueError(f"the class {word[:40]!r} is no number")
    if classes and found >= len(classes):
        raise ValueError(f"is of class {found}, but the names go to {len(classes) - 1} only")
    return (classes[found] if classes else "") or str(found)


def _yolo_outline(words: list[str]) -> Corners:
    if len(words) == 4:
        raise ValueError("is a box; export segmentation labels, or list boxes with prepare_boxes.py")
    if len(words) % 2:
        raise ValueError("has an odd number of coordinates; is a confidence at its end?")
    numbers = [number(word) for word in words]
    if any(not -0.5 <= value <= 1.5 for value in numbers):
        raise ValueError("has coordinates that are no shares of width and height")
    return checked(as_corners(list(zip(numbers[::2], numbers[1::2], strict=True))))


@dataclass
class ViaFile:
    """pictures: file name -> what was drawn on it. attributes: of regions, the order in which they first occur."""

    pictures: dict[str, Drawing] = field(default_factory=dict)
    attributes: dict[str, None] = field(default_factory=dict)


def read_via(path: Path, attribute: str | None) -> ViaFile:
    """A VGG Image Annotator json (project or exported annotations, version 1 or 2). Raises ``InputError``.

    ``attribute`` names the region attribute that holds the label; by default a region's only one, or its first.
    """
    content = read_json(path, EXPORT)
    records = content.get("_via_img_metadata", content) if isinstance(content, dict) else None
    if not isinstance(records, dict) or not all(
        isinstance(record, dict) and "filename" in record and "regions" in record for record in records.values()
    ):
        raise InputError(f"{path} is not a VIA file: it has no pictures with regions; export the annotations as json")
    found = ViaFile()
    for record in records.values():
        drawing = found.pictures.setdefault(str(record["filename"]), Drawing())
        regions = record["regions"] or []
        if not isinstance(regions, (dict, list)):
            drawing.problem = f"{path}: the regions of {record['filename']} are no list; {EXPORT}"
            continue
        before = len(drawing.shapes) + len(drawing.faults)  # of another record of this picture
        for place, region in enumerate(regions.values() if isinstance(regions, dict) else regions, before):
            label: str | None = None
            try:
                attributes = region.get("region_attributes") or {}
                found.attributes |= dict.fromkeys(attributes)
                label = _via_label(attributes, attribute)
                drawing.shapes.append(Shape(label, place, _via_outline(region["shape_attributes"])))
            except BROKEN as error:
                told = f"{path}, region {place} of {record['filename']}: {_reason(error)}; fix or remove it"
                drawing.faults.append(Fault(label, place, told))
    if attribute is not None and found.attributes and attribute not in found.attributes:
        raise InputError(f"--via_attribute: {path} has no region attribute {attribute!r}; there are: {_listed(found)}")
    return found


def _listed(file: ViaFile) -> str:
    return ", ".join(map(str, file.attributes))


def other_attributes(file: ViaFile, attribute: str | None) -> str:
    """What to add where a label is not found: the attributes that may hold it."""
    chosen = attribute or next(iter(file.attributes), "")
    if not file.attributes or list(file.attributes) == [chosen]:
        return ""
    told = f"labels are taken from the region attribute {chosen!r}"
    return f"; {told}: pass --via_attribute with the right one of {_listed(file)}"


def _via_outline(shape: dict[str, Any]) -> Corners:
    kind = shape["name"]
    if kind in ("polygon", "polyline"):
        return checked(as_corners(list(zip(shape["all_points_x"], shape["all_points_y"], strict=True))))
    if kind == "rect":
        left, top = number(shape["x"]), number(shape["y"])
        right, bottom = left + number(shape["width"]), top + number(shape["height"])
        return checked(as_corners([(left, top), (right, top), (right, bottom), (left, bottom)]))
    if kind in ("circle", "ellipse"):
        across, down = (shape["r"], shape["r"]) if kind == "circle" else (shape["rx"], shape["ry"])
        middle, turn = (number(shape["cx"]), number(shape["cy"])), number(shape.get("theta") or 0)
        return ellipse(*middle, number(across), number(down), turn)
    raise ValueError(f"a {kind} has no area; draw a polygon, rect, circle or ellipse")


def _via_label(attributes: dict[str, Any], attribute: str | None) -> str:
    value = attributes.get(attribute, "") if attribute else next(iter(attributes.values()), "")
    if isinstance(value, dict):  # check boxes: {"sheep": true}
        value = next((name for name, ticked in value.items() if ticked), "")
    return "" if value is None else clean(value)


def _reason(error: Exception) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)
