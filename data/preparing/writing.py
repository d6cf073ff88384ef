"""One task -> its picture and masks on disk, and the entry that says where they come from."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from data.placement import Placement, Size
from data.preparing.dataset_json import Entry
from data.preparing.geometry import Target
from data.preparing.tasks import Found, Task
from instagan.errors import InputError
from instagan.io.reading import ALL_LEVELS, Levels, read_picture

SCRATCH = ".preparing"
"""Folder of unfinished files inside the data set; removed at the end."""

EMPTY, SMALL, SURPLUS = "empty after the crop", "smaller than --min_area", "beyond --max_instances"


class TargetError(InputError):
    """The target is at fault, not the picture: never skipped."""


@dataclass(frozen=True)
class Writer:
    """Writes tasks under ``root``.

    min_area         instances with fewer pixels than this in the written picture are dropped
    max_instances    only the largest so many are kept
    levels           what is black and white in pictures of more than 8 bits a channel
    """

    root: Path
    target: Target
    min_area: int = 1
    max_instances: int | None = None
    levels: Levels = ALL_LEVELS

    def __call__(self, task: Task) -> Outcome:
        """Never raises for a bad file: says what is wrong with it."""
        try:
            return Outcome(task.key, task.source, self._prepare(task))
        except TargetError as error:
            return Outcome(task.key, task.source, problem=str(error), fatal=True)
        except InputError as error:
            absent = not os.path.lexists(task.picture)
            return Outcome(task.key, task.source, problem=str(error), absent=absent, instances=task.annotation.count)
        except MemoryError:
            problem = (
                f"{task.picture}: too large for the memory of this computer; make it smaller or use fewer --workers"
            )
            return Outcome(task.key, task.source, problem=problem, instances=task.annotation.count)

    def _prepare(self, task: Task) -> Entry:
        picture = read_picture(task.picture, task.annotation.size, self.levels)
        placement = self.target.place(picture.size, str(task.picture))
        left, top, right, bottom = placement.crop
        entry: Entry = {
            "source": task.source,
            "source_id": task.source_id,
            "source_size": list(picture.size),
            "resized": list(placement.resize),
            "crop": list(placement.crop),
            "size": [right - left, bottom - top],
        }
        placed, dropped = self._place(task, picture.size, placement)
        entry["instances"] = [_describe(found, inside, placement, picture.size) for found, inside in placed]
        if dropped:
            entry["dropped"] = dict(sorted(dropped.items()))
        if placed:
            for number, (_, inside) in enumerate(placed):
                mask = Image.fromarray(inside.astype(np.uint8) * 255)
                self._save(mask, f"{task.folder}_seg", f"{task.name}_{number}.png")
            self._save(placement.picture(picture), task.folder, f"{task.name}.png")  # last: it vouches for its masks
        return entry

    def _place(
        self, task: Task, size: Size, placement: Placement
    ) -> tuple[list[tuple[Found, np.ndarray]], Counter[str]]:
        """The instances that are left, each with its mask in the written picture (h, w) bool; why others are not."""
        placed: list[tuple[Found, np.ndarray]] = []
        dropped: Counter[str] = Counter()
        for found in task.annotation.find(size):
            mask = placement.mask(Image.fromarray(found.inside.astype(np.uint8) * 255))
            inside = np.asarray(mask) > 0  # (h, w)
            area = int(inside.sum())
            if area >= max(self.min_area, 1):
                placed.append((found, inside))
            else:
                dropped[SMALL if area else EMPTY] += 1
        if self.max_instances is not None and len(placed) > self.max_instances:
            dropped[SURPLUS] = len(placed) - self.max_instances
            by_size = sorted(range(len(placed)), key=lambda index: -placed[index][1].sum())  # stable: ties keep order
            placed = [placed[index] for index in sorted(by_size[: self.max_instances])]
        return placed, dropped

    def _save(self, picture: Image.Image, folder: str, name: str) -> None:
        place = self.root / folder / name
        temporary = self.root / SCRATCH / f"{os.getpid()}-{name}"
        try:
            picture.save(temporary, "PNG")
            os.replace(temporary, place)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            reason = error.strerror or error
            raise TargetError(
                f"{place} cannot be written ({reason}); make room there or pass another --save_root"
            ) from None


@dataclass(frozen=True)
class Outcome:
    """What became of a task: an entry, or a problem (one sentence) and how many instances that costs."""

    key: str
    source: str
    entry: Entry | None = None
    problem: str = ""
    absent: bool = False
    fatal: bool = False
    instances: int = 0


def _describe(found: Found, inside: np.ndarray, placement: Placement, size: Size) -> Entry:
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    entry: Entry = {
        "id": found.id,
        "category": found.category,
        "box": [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1],
        "area": int(inside.sum()),
    }
    if found.score is not None:
        entry["score"] = round(found.score, 4)
    if found.from_box:
        entry["from_box"] = True
    if found.keypoints:
        placed = placement.keypoints(torch.tensor(found.keypoints).reshape(-1, 3), size)  # (K, 3)
        entry["keypoints"] = [round(value, 2) for value in placed.flatten().tolist()]
    return entry
