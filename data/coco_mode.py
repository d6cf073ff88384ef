"""``--dataset_mode coco``: pictures and masks straight from a json in COCO's format; nothing is written."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.entries import Domain, Entry
from data.placement import Size
from data.preparing.categories import split_names
from data.preparing.coco import CocoPart, plan_coco
from data.preparing.coco_masks import CocoAnnotation
from data.preparing.optional import need
from data.preparing.tasks import Plan, Task
from instagan.errors import InputError

NAMED = 5
"""Absent pictures that are named."""


@dataclass(frozen=True, eq=False)
class CocoMask:
    """A mask that is an annotation in a json; ``annotation`` holds this one instance."""

    annotation: CocoAnnotation
    number: int

    @property
    def label(self) -> int:
        return self.annotation.instances[0][1]

    @property
    def source_id(self) -> int | str:
        return self.annotation.instances[0][0]

    def read(self, size: Size) -> np.ndarray:
        (found,) = self.annotation.find(size)
        return found.inside

    def fingerprint(self) -> str:
        return repr(self.annotation)


class CocoFile:
    """Domain A shows the categories ``--cat1``, B shows ``--cat2``; a picture that shows both is in both."""

    inherited = ("annotations", "images", "cat1", "cat2")

    def add_options(self, parser: ArgumentParser) -> None:
        group = parser.add_argument_group("coco")
        group.add_argument("--annotations", metavar="FILE", help="json in COCO's format")
        group.add_argument("--images", metavar="DIR", help="folder that the json's file names start from")
        group.add_argument("--cat1", metavar="NAME[,NAME]", help="category or categories of domain A")
        group.add_argument("--cat2", metavar="NAME[,NAME]", help="category or categories of domain B")

    def check(self, options: Namespace) -> None:
        meanings = ("a json in COCO's format", "the folder of its pictures", "of domain A", "of domain B")
        for name, meaning in zip(self.inherited, meanings, strict=True):
            if getattr(options, name) is None:
                what = meaning if name in ("annotations", "images") else f"the category or categories {meaning}"
                raise InputError(f"--{name} is missing: --dataset_mode coco needs {what}")

    def list_domains(self, options: Namespace, letters: str) -> dict[str, Domain]:
        need("pycocotools.mask", "pycocotools", "--dataset_mode coco")
        names = {"A": split_names(options.cat1, "--cat1"), "B": split_names(options.cat2, "--cat2")}
        part = CocoPart(options.phase, Path(options.annotations), Path(options.images))
        if not part.images.is_dir():
            raise InputError(f"--images {part.images}: no such folder; pass that of the pictures of {part.annotations}")
        plan = plan_coco([part], names, needed=letters)
        if plan.problems:
            raise InputError(plan.problems[0][1])
        domains = {letter: _domain(plan, letter, part) for letter in letters}
        for note in plan.notes:
            domains[letters[-1]] = domains[letters[-1]].with_note(note)
        return domains


def _domain(plan: Plan, letter: str, part: CocoPart) -> Domain:
    """One domain of the plan without the pictures that are absent. Raises ``InputError`` if none is there."""
    tasks = [task for task in plan.tasks if task.domain == letter]
    there: list[Task] = []
    absent: list[str] = []
    for task in tasks:
        if os.path.isfile(task.picture):
            there.append(task)
        else:
            absent.append(task.source)
    title = f"{letter} ({','.join(category.name for category in plan.categories[letter])})"
    if not there:
        raise InputError(
            f"none of the {len(tasks)} pictures of {title} that {part.annotations} lists is in {part.images}, "
            f"for example {tasks[0].picture}; pass another --images"
        )
    categories = {domain: tuple(found) for domain, found in plan.categories.items()}
    domain = Domain(title, [_entry(task) for task in there], categories)
    return domain.with_note(f"{len(absent)} listed pictures are absent: {_some(absent)}") if absent else domain


def _entry(task: Task) -> Entry:
    """Raises ``InputError`` naming file and annotation for a segmentation that cannot be read."""
    annotation = task.annotation
    assert isinstance(annotation, CocoAnnotation)
    annotation.check()
    masks = tuple(
        CocoMask(CocoAnnotation(annotation.file, annotation.size, (instance,)), number)
        for number, instance in enumerate(annotation.instances)
    )
    return Entry(task.picture, masks, annotation.size, task.name, task.source_id)


def _some(files: Sequence[str]) -> str:
    more = len(files) - NAMED
    return ", ".join(files[:NAMED]) + (f" and {more} more" if more > 0 else "")
