"""Label maps as annotations: pictures in which every instance has an integer, or a colour, of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.placement import Size
from data.preparing.tasks import Found
from instagan.io.label_maps import instances_of


@dataclass(frozen=True)
class LabelMapAnnotation:
    """The map of one picture; ``ignored`` values are nobody. An instance's id is its value."""

    path: Path
    ignored: tuple[tuple[int, int], ...] = ()
    size: Size | None = None
    count: int = 0

    def find(self, size: Size) -> Iterator[Found]:
        for value, inside in instances_of(self.path, size, self.ignored).items():
            yield Found(value, 0, inside)
