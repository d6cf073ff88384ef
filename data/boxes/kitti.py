"""KITTI's label_2 txt -> objects. A line: TYPE TRUNCATED OCCLUDED ALPHA LEFT TOP RIGHT BOTTOM, then seven numbers in 3D
(and a score, where a detector wrote it). The box counts pixels from 0 and is taken as its edges, as KITTI measures it.
"""

from __future__ import annotations

from pathlib import Path

from data.boxes.objects import Found, Object, lines_of, within
from data.placement import Size

CLASSES = ("car=Car,Van", "person=Pedestrian,Person_sitting", "truck=Truck", "bicycle=Cyclist")
"""Types -> the categories in which KITTI and Cityscapes are compared; Tram and Misc are left out."""


def read_kitti(path: Path, size: Size, found: Found) -> list[Object]:
    """DontCare marks a region that nobody has annotated: it is no object."""
    objects = []
    for where, words in lines_of(path):
        with found.part(where):
            if words[0] == "DontCare":
                found.left_out["DontCare regions"] += 1
                continue
            category = found.category(words[0])
            if category is None:
                continue
            if len(words) not in (15, 16):
                raise ValueError(f"it has {len(words)} words; a line of KITTI's labels has 15, or 16 with a score")
            objects.append(Object(category, within(*words[4:8], size)))
    return objects
