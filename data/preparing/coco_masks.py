"""The COCO annotations of one picture -> masks; which segmentations are refused is told in ``instagan.io``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from data.placement import Size
from data.preparing.tasks import Found
from instagan.errors import InputError
from instagan.io.segmentations import Rectangle, decode
from instagan.io.values import Id


@dataclass(frozen=True)
class CocoAnnotation:
    """The instances of one picture: (annotation id, category index, segmentation) each. ``file`` is named in errors.

    keypoints: of each instance, where they are looked at: x, y, visibility, x, ... in pixels
    """

    file: str
    size: Size | None
    instances: tuple[tuple[Id, int, Any], ...]
    keypoints: tuple[tuple[float, ...], ...] = ()

    @property
    def count(self) -> int:
        return len(self.instances)

    def find(self, size: Size) -> Iterator[Found]:
        known = self.keypoints or ((),) * len(self.instances)
        for (number, category, segmentation), keypoints in zip(self.instances, known, strict=True):
            try:
                inside, from_box = decode(segmentation, size), isinstance(segmentation, Rectangle)
                yield Found(number, category, inside, from_box=from_box, keypoints=keypoints)
            except ValueError as error:
                raise InputError(f"{self.file}, annotation {number}: {error}; fix or remove it") from None
