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
from data.preparing.tasks import Plan, Task
from instagan.errors import InputError
from instagan.io.optional import need

NAMED = 5
"""Absent pictures and bad annotations that are named."""

SKIPPING = "pass --skip_bad to go on without such annotations"


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

    needed = ("annotations", "images", "cat1", "cat2")
    inherited = (*needed, "skip_bad")

    def add_options(self, parser: ArgumentParser) -> None:
        group = parser.add_argument_group("coco")
        group.add_argument("--annotations", metavar="FILE", help="json in COCO's format")
        group.add_argument("--images", metavar="DIR", help="folder that the json's file names start from")
        group.add_argument("--cat1", metavar="NAME[,NAME]", help="category or categories of domain A")
        group.add_argument("--cat2", metavar="NAME[,NAME]", help="category or categories of domain B")
        if "--skip_bad" not in parser._option_string_actions:  # train.py has it for all modes
            group.add_argument("--skip_bad", action="store_true", help="go on without bad annotations, and name them")

    def check(self, options: Namespace) -> None:
        meanings = ("a json in COCO's format", "the folder of its pictures", "of domain A", "of domain B")
        for name, meaning in zip(self.needed, meanings, strict=True):
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
        bad = [problem for _, problem in plan.problems]
        if bad and not options.skip_bad:
            raise InputError(f"{bad[0]}, or {SKIPPING}")
        domains = {letter: _domain(plan, letter, part, options.skip_bad) for letter in letters}
        for note in (*plan.notes, *_left_out(bad, part)):
            domains[letters[-1]] = domains[letters[-1]].with_note(note)
        return domains


def _domain(plan: Plan, letter: str, part: CocoPart, skip_bad: bool) -> Domain:
    """One domain of the plan without the pictures that are absent, and with ``skip_bad`` without bad annotations and
    the pictures that have no other. Raises ``InputError`` if no picture is left."""
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
    bad: list[str] = []
    entries = [_entry(task, bad) for task in there]
    if bad and not skip_bad:
        raise InputError(f"{bad[0]}, or {SKIPPING}")
    if bad and not (entries := [entry for entry in entries if entry.masks]):
        raise InputError(f"all {len(bad)} annotations of {title} are bad, for example {bad[0]}")
    categories = {domain: tuple(found) for domain, found in plan.categories.items()}
    domain = Domain(title, entries, categories)
    if absent:
        domain = domain.with_note(f"{len(absent)} listed pictures are absent: {_some(absent, ', ')}")
    for note in _left_out(bad, part):
        domain = domain.with_note(note)
    return domain


def _entry(task: Task, bad: list[str]) -> Entry:
    """The picture with the masks that can be read; of each other one a sentence, naming it, is added to ``bad``."""
    annotation = task.annotation
    assert isinstance(annotation, CocoAnnotation)
    masks: list[CocoMask] = []
    for instance in annotation.instances:
        one = CocoAnnotation(annotation.file, annotation.size, (instance,))
        try:
            one.check()
        except InputError as error:
            bad.append(str(error))
        else:
            masks.append(CocoMask(one, len(masks)))
    return Entry(task.picture, tuple(masks), annotation.size, task.name, task.source_id)


def _left_out(bad: Sequence[str], part: CocoPart) -> list[str]:
    """A note on bad annotations, from a sentence on each; none if there are none."""
    reasons = [sentence.removeprefix(str(part.annotations)).lstrip(",: ").rpartition(";")[0] for sentence in bad]
    return [f"{len(bad)} bad annotations are left out: {_some(reasons, ' | ')}"] if bad else []


def _some(named: Sequence[str], between: str) -> str:
    more = len(named) - NAMED
    return between.join(named[:NAMED]) + (f" and {more} more" if more > 0 else "")
