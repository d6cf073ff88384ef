"""``--dataset_mode coco``: pictures and masks straight from a json in COCO's format; nothing is written."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.entries import FORMAT_FLAGS, Box, Domain, Entry, add_formats
from data.keypoints import Keypoints, mirrored_order
from data.placement import Size
from data.pooling import pooled_names
from data.preparing.categories import split_names
from data.preparing.coco import FLAGS, CocoPart, plan_coco
from data.preparing.coco_masks import CocoAnnotation
from data.preparing.tasks import Plan, Task
from instagan.errors import InputError
from instagan.io.formats import formats_of
from instagan.io.optional import need
from instagan.io.problems import Problem, cost
from instagan.io.segmentations import Rectangle

NAMED = 5
"""Absent pictures and bad annotations that are named."""


@dataclass(frozen=True, eq=False)
class CocoMask:
    """A mask that is an annotation in a json; ``annotation`` holds this one instance. mirrored: as of ``Keypoints``."""

    annotation: CocoAnnotation
    number: int
    mirrored: tuple[int, ...] = ()

    @property
    def label(self) -> int:
        return self.annotation.instances[0][1]

    @property
    def source_id(self) -> int | str:
        return self.annotation.instances[0][0]

    @property
    def box(self) -> Box | None:
        segmentation = self.annotation.instances[0][2]
        return segmentation.corners if isinstance(segmentation, Rectangle) else None

    @property
    def keypoints(self) -> Keypoints | None:
        points = self.annotation.keypoints
        return Keypoints(points[0], self.mirrored) if points and points[0] else None

    def read(self, size: Size) -> np.ndarray:
        (found,) = self.annotation.find(size)
        return found.inside

    def read_parts(self, size: Size, count: int) -> list[np.ndarray]:
        raise InputError(f"{self.annotation.file}: a json in COCO's format has no parts; use label maps in folders")

    def fingerprint(self) -> str:
        return repr(self.annotation)


class CocoFile:
    """Domain A shows the categories ``--cat1``, B shows ``--cat2``; a picture that shows both is in both.

    Of many domains (``--domains``) each is a category, and both letters stand for all pictures that show any.
    """

    needed = ("annotations", "images", "cat1", "cat2")
    inherited: tuple[str, ...] = (*needed, "skip_bad", "crowd_as_instances", *FORMAT_FLAGS)

    def add_options(self, parser: ArgumentParser) -> None:
        group = parser.add_argument_group("coco")
        group.add_argument("--annotations", metavar="FILE", help="json in COCO's format")
        group.add_argument("--images", metavar="DIR", help="folder that the file names in the json are relative to")
        group.add_argument("--cat1", metavar="NAME[,NAME]", help="category or categories of domain A")
        group.add_argument("--cat2", metavar="NAME[,NAME]", help="category or categories of domain B")
        group.add_argument("--crowd_as_instances", action="store_true", help="take crowd regions as instances, too")
        add_formats(group.add_argument)
        if "--skip_bad" not in parser._option_string_actions:  # train.py has it for all modes
            group.add_argument("--skip_bad", action="store_true", help="skip bad annotations, and name them")

    def check(self, options: Namespace) -> None:
        meanings = ("a json in COCO's format", "the folder of its pictures", "of domain A", "of domain B")
        pooled = ("cat1", "cat2") if pooled_names(options) else ()
        for name, meaning in zip(self.needed, meanings, strict=True):
            if getattr(options, name) is None and name not in pooled:
                what = meaning if name in ("annotations", "images") else f"the category or categories {meaning}"
                raise InputError(f"--{name} is missing: --dataset_mode coco needs {what}")

    def list_domains(self, options: Namespace, letters: str) -> dict[str, Domain]:
        need("pycocotools.mask", "pycocotools", "--dataset_mode coco")
        pooled = pooled_names(options)
        if pooled:
            names, needed, flags = {"A": pooled, "B": []}, "A", {"A": "--domains"}
        else:
            names = {"A": split_names(options.cat1, "--cat1"), "B": split_names(options.cat2, "--cat2")}
            needed, flags = letters, FLAGS
        part = CocoPart(options.phase, Path(options.annotations), Path(options.images))
        if not part.images.is_dir():
            raise InputError(f"--images {part.images}: no such folder; pass that of the pictures of {part.annotations}")
        crowd, skip_bad = options.crowd_as_instances, options.skip_bad
        plan = plan_coco(
            [part], names, needed=needed, crowd_as_instances=crowd, skip_bad=skip_bad, flags=flags,
            keypoints=getattr(options, "attribute", None) == "keypoints",
        )  # fmt: skip
        if pooled:
            plan.categories["B"] = plan.categories["A"]
        formats = formats_of(vars(options))
        domains = {letter: _domain(plan, "A" if pooled else letter) for letter in letters}
        domains = {letter: domain.with_format(formats[letter]) for letter, domain in domains.items()}
        for note in (*plan.notes, *left_out(plan.problems, part.annotations)):
            domains[letters[-1]] = domains[letters[-1]].with_note(note)
        return domains

    def instances_advice(self, options: Namespace) -> str:
        return f"{options.annotations} should list some of --cat1 and --cat2: check both, and the file"


def _domain(plan: Plan, letter: str) -> Domain:
    """One domain of the plan without the pictures that are absent."""
    tasks = [task for task in plan.tasks if task.domain == letter]
    there = [task for task in tasks if os.path.isfile(task.picture)]
    absent = [task.source for task in tasks if not os.path.isfile(task.picture)]
    title = f"{letter} ({','.join(category.name for category in plan.categories[letter])})"
    categories = {domain: tuple(found) for domain, found in plan.categories.items()}
    mirrored = [mirrored_order(category.keypoints) for category in categories[letter]]
    domain = Domain(title, [_entry(task, mirrored) for task in there], categories)
    return domain.with_note(f"{len(absent)} listed pictures are absent: {_some(absent, ', ')}") if absent else domain


def _entry(task: Task, mirrored: Sequence[tuple[int, ...]]) -> Entry:
    """mirrored: of each category, as of ``Keypoints``."""
    annotation = task.annotation
    assert isinstance(annotation, CocoAnnotation)
    file, size, points = annotation.file, annotation.size, annotation.keypoints
    each = (
        CocoAnnotation(file, size, (instance,), points[number : number + 1])
        for number, instance in enumerate(annotation.instances)
    )
    masks = tuple(CocoMask(one, number, mirrored[one.instances[0][1]]) for number, one in enumerate(each))
    return Entry(task.picture, masks, annotation.size, task.name, task.source_id)


def left_out(problems: Sequence[Problem], file: Path) -> list[str]:
    """A note on what is bad, and what that costs; none if nothing is."""
    reasons = [problem.sentence.removeprefix(str(file)).lstrip(",: ").rpartition(";")[0] for problem in problems]
    return [f"{cost(problems)} ({_some(reasons, ' | ')})"] if problems else []


def _some(named: Sequence[str], between: str) -> str:
    more = len(named) - NAMED
    return between.join(named[:NAMED]) + (f" and {more} more" if more > 0 else "")
