"""Records of a COCO json that are made here, not read: what a mask, or a box, becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from instagan.io.optional import need
from instagan.io.segmentations import Rectangle, Size, decode
from instagan.io.values import Id

FILE_NAME = "annotations.json"
Record = dict[str, Any]


def shape_of_mask(inside: np.ndarray, purpose: str = "writing COCO masks") -> Record:
    """segmentation (RLE as text), area, bbox and iscrowd of a mask (H, W) bool that is not empty."""
    codec = need("pycocotools.mask", "pycocotools", purpose)
    runs = codec.encode(np.asfortranarray(inside, dtype=np.uint8))
    return {
        "segmentation": {"size": [int(side) for side in runs["size"]], "counts": runs["counts"].decode("ascii")},
        "area": int(codec.area(runs)),
        "bbox": [float(number) for number in codec.toBbox(runs)],  # left, top, width, height
        "iscrowd": 0,
    }


def shape_of_instance(segmentation: Any, size: Size) -> Record:
    """The same of an annotation as it was read; one with a box alone keeps it, with its sub-pixel edges."""
    if not isinstance(segmentation, Rectangle):
        return shape_of_mask(decode(segmentation, size))
    left, top, right, bottom = segmentation.corners
    width, height = right - left, bottom - top
    return {"segmentation": [], "area": width * height, "bbox": [left, top, width, height], "iscrowd": 0}


def category_records(names: Sequence[str], known: Mapping[str, Sequence[Id]]) -> list[Record]:
    """Categories of these names with the ids that a json has for them; 1, 2, ... where it lacks one or has text."""
    ids = [known[name][0] if known.get(name) else None for name in names]
    if any(not isinstance(one, int) or one < 0 for one in ids) or len(set(ids)) < len(ids):
        ids = list(range(1, len(names) + 1))
    return [{"id": one, "name": name} for one, name in zip(ids, names, strict=True)]
