"""Masks for pictures that have none, from torchvision's Mask R-CNN (ResNet-50 FPN).

Pictures are detected in batches as they are about to be written; nothing is kept in memory for longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from data.placement import Size
from data.preparing.categories import check_apart
from data.preparing.own_masks import add_split, categories_of, list_pictures
from data.preparing.tasks import Annotation, Draft, Found, Plan, Task
from instagan.errors import InputError
from instagan.io.categories import check_names
from instagan.io.detector import INSIDE, Detect
from instagan.io.pixels import to_tensor
from instagan.io.reading import ALL_LEVELS, Levels, read_picture


@dataclass(frozen=True)
class Detection:
    """label: the detector's class number. rows: the mask, packed eight pixels to a byte."""

    label: int
    score: float
    rows: np.ndarray


@dataclass(frozen=True)
class DetectedAnnotation:
    """The detections of one picture; None before it has been looked at. categories: class number -> index."""

    categories: tuple[tuple[int, int], ...]
    detections: tuple[Detection, ...] | None = None
    size: Size | None = None
    count: int = 0

    def find(self, size: Size) -> Iterator[Found]:
        if self.detections is None:
            raise InputError("this picture was readable only after it should have been detected; run again")
        index = dict(self.categories)
        for number, detection in enumerate(self.detections):
            if detection.label in index:
                inside = np.unpackbits(detection.rows, axis=1, count=size[0]).astype(bool)
                yield Found(number, index[detection.label], inside, detection.score)


def plan_detector(
    sides: list[tuple[Path, tuple[str, ...]]], names: dict[str, list[str]], classes: list[str], source: dict[str, Any]
) -> Plan:
    """sides: folder of pictures, domains it serves. classes: the detector's, by number."""
    check_apart(names["A"], names["B"])
    for domain, flag in (("A", "--cat1"), ("B", "--cat2")):
        check_names(names[domain], [name for name in classes[1:] if name != "N/A"], flag, "the detector")
    described = [{"images": str(folder), "domains": list(domains)} for folder, domains in sides]
    plan = Plan({"kind": "detector", "sides": described, **source}, categories_of(names))
    wanted = {
        domain: tuple((classes.index(name), category) for category, name in enumerate(of_domain))
        for domain, of_domain in names.items()
    }
    drafts = []
    for folder, domains in sides:
        for picture in list_pictures(folder, "--images1" if "A" in domains else "--images2"):
            of_domain: dict[str, Annotation] = {domain: DetectedAnnotation(wanted[domain]) for domain in domains}
            drafts.append(Draft(picture, f"{folder.name}/{picture.name}", of_domain))
    add_split(plan, drafts, source["val_share"], source["seed"])
    plan.notes = [note for note in plan.notes if "both domains" not in note]  # only what is found decides that
    plan.tasks.sort(key=lambda task: (str(task.picture), task.domain))  # a picture of both domains is detected once
    return plan


def detected(tasks: Iterable[Task], detect: Detect, batch: int, levels: Levels = ALL_LEVELS) -> Iterator[Task]:
    """The tasks with what was detected in their pictures, in order, ``batch`` pictures at a time.

    A picture that cannot be read is passed on as it is: whoever writes it says so.
    """
    waiting: list[tuple[list[Task], Tensor | None]] = []
    for picture, group in groupby(tasks, key=lambda task: task.picture):
        try:
            image = (to_tensor(read_picture(picture, levels=levels)) + 1) / 2  # (3, H, W) in [0, 1]
        except InputError:
            image = None
        waiting.append((list(group), image))
        if len(waiting) == batch:
            yield from _run(waiting, detect)
            waiting = []
    yield from _run(waiting, detect)


def _run(waiting: list[tuple[list[Task], Tensor | None]], detect: Detect) -> Iterator[Task]:
    images = [image for _, image in waiting if image is not None]
    results = iter(detect(images) if images else [])
    for tasks, image in waiting:
        if image is None:
            yield from tasks
            continue
        found = _packed(next(results))
        for task in tasks:
            assert isinstance(task.annotation, DetectedAnnotation)
            yield replace(task, annotation=replace(task.annotation, detections=found))


def _packed(result: dict[str, Tensor]) -> tuple[Detection, ...]:
    inside = (result["masks"][:, 0] > INSIDE).cpu().numpy()  # (K, H, W)
    labels, scores = result["labels"].tolist(), result["scores"].tolist()
    return tuple(
        Detection(label, score, np.packbits(mask, axis=1))
        for label, score, mask in zip(labels, scores, inside, strict=True)
    )
