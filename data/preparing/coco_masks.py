"""The COCO annotations of one picture -> masks; which segmentations are refused is told in one place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from data.placement import Size
from data.preparing.tasks import Found
from instagan.io.coco import naming
from instagan.io.segmentations import check, decode


@dataclass(frozen=True)
class CocoAnnotation:
    """The instances of one picture: (annotation id, category index, segmentation) each. ``file`` is named in errors."""

    file: str
    size: Size
    instances: tuple[tuple[int, int, Any], ...]

    def find(self, size: Size) -> Iterator[Found]:
        for number, category, segmentation in self.instances:
            with naming(self.file, number):
                yield Found(number, category, decode(segmentation, size))

    def check(self) -> None:
        """Raises the ``InputError`` that ``find`` would raise at a picture of ``size``, without decoding anything."""
        for number, _, segmentation in self.instances:
            with naming(self.file, number):
                check(segmentation, self.size)
