"""LV-MHP-v1 (Multi-Human Parsing) -> plan. One annotation png for each person, whose pixels are label indices.

<root>/images/26.jpg    annotations/26_03_01.png (picture, persons, person)    train_list.txt, test_list.txt
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from data.placement import Size
from data.preparing.categories import check_apart
from data.preparing.tasks import Category, Draft, Found, Plan
from instagan.errors import InputError
from instagan.io.categories import check_names
from instagan.io.problems import Problem
from instagan.io.text_files import read_text

LABELS = (
    "background", "hat", "hair", "sunglass", "upper-clothes", "skirt", "pants", "dress", "belt", "left-shoe",
    "right-shoe", "face", "left-leg", "right-leg", "left-arm", "right-arm", "bag", "scarf", "torso-skin",
)  # fmt: skip
"""The labels of the release; their position is their index."""


@dataclass(frozen=True)
class MhpAnnotation:
    """persons: the annotation files of one picture. labels: (label index, category index) wanted.

    An instance's id is the stem of the person's file, and with several labels :LABEL after it.
    """

    persons: tuple[Path, ...]
    labels: tuple[tuple[int, int], ...]
    portrait_only: bool
    size: Size | None = None
    count: int = 0

    def find(self, size: Size) -> Iterator[Found]:
        if self.portrait_only and size[0] > size[1]:
            return
        for path in self.persons:
            truth = _read(path)  # (H, W)
            if truth.shape != size[::-1]:
                raise InputError(
                    f"{path} labels {truth.shape[::-1]} pixels but its picture has {size}; take both from one release"
                )
            for label, category in self.labels:
                inside = truth == label
                if inside.any():
                    name = path.stem if len(self.labels) == 1 else f"{path.stem}:{label}"
                    yield Found(name, category, inside)


def plan_mhp(root: Path, names: dict[str, list[str]], portrait_only: bool) -> Plan:
    """Lists as phases train and test. The folder of annotations is read once. Raises ``InputError``."""
    for domain, flag in (("A", "--cat1"), ("B", "--cat2")):
        check_names(names[domain], LABELS[1:], flag, "LV-MHP-v1")
    check_apart(names["A"], names["B"])
    wanted = {
        domain: tuple((LABELS.index(name), category) for category, name in enumerate(of_domain))
        for domain, of_domain in names.items()
    }
    categories = {
        domain: [Category(name, LABELS.index(name)) for name in of_domain] for domain, of_domain in names.items()
    }
    plan = Plan({"kind": "mhp", "portrait_only": portrait_only}, categories)
    persons = _persons(root / "annotations")
    lists = {phase: root / f"{phase}_list.txt" for phase in ("train", "test")}
    if not any(path.exists() for path in lists.values()):
        raise InputError(
            f"{lists['train']}: no such file; pass the folder of LV-MHP-v1, which holds it, as --data_root"
        )
    for phase, path in lists.items():
        if not path.exists():
            plan.notes.append(f"there is no {path.name}")
            continue
        drafts = []
        for number in _listed(path):
            if number not in persons:
                told = f"{path} lists {number}, which has no annotation; remove it there"
                plan.problems.append(Problem(f"{number}.jpg", told, pictures=1))
                continue
            files = tuple(persons[number])
            domains = {domain: MhpAnnotation(files, labels, portrait_only) for domain, labels in wanted.items()}
            drafts.append(Draft(root / "images" / f"{number}.jpg", f"images/{number}.jpg", dict(domains), number))
        for domain in ("A", "B"):  # one after the other: which pictures show what is known only once they are read
            plan.add(phase, [Draft(d.picture, d.source, {domain: d.domains[domain]}, d.source_id) for d in drafts])
    return plan


def _persons(folder: Path) -> dict[str, list[Path]]:
    """Picture -> the annotation files of its persons, in order."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; pass the folder of LV-MHP-v1, which holds it, as --data_root")
    persons: defaultdict[str, list[Path]] = defaultdict(list)
    with os.scandir(folder) as files:
        for file in files:
            stem, _, ending = file.name.rpartition(".")
            parts = stem.split("_")
            if ending.lower() == "png" and len(parts) == 3:
                persons[parts[0]].append(Path(file.path))
    return {number: sorted(paths) for number, paths in persons.items()}


def _listed(path: Path) -> list[str]:
    """The numbers of the pictures in a list of file names, each once."""
    try:
        lines = read_text(path).split("\n")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); take it from a fresh copy of the data set") from None
    names = (line.strip().replace("\\", "/") for line in lines if line.strip())
    return list(dict.fromkeys(Path(name).stem for name in names))


def _read(path: Path) -> np.ndarray:
    """Label indices (H, W). Some tools save them in three equal channels; palettes are not looked up."""
    try:
        with Image.open(path) as image:
            values = np.asarray(image)
    except Exception as error:  # decoding a damaged file can raise anything
        raise InputError(f"{path} cannot be read ({error}); take it from a fresh copy of the data set") from None
    return values[..., 0] if values.ndim == 3 else values
