"""Clothing Co-Parsing -> plan. Its masks are semantic: one for each picture and label.

<root>/photos/0001.jpg    annotations/pixel-level/0001.mat (groundtruth: h x w label indices)    label_list.mat
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from data.placement import Size
from data.preparing.categories import check_apart
from data.preparing.mat_files import read_table
from data.preparing.parallel import in_order
from data.preparing.splitting import validation_part
from data.preparing.tasks import Category, Draft, Found, Plan
from instagan.errors import InputError
from instagan.io.categories import check_names
from instagan.io.problems import Problem

Scan = tuple[list[int], str]
"""Labels that a picture has, and what is wrong with its file ("" if nothing)."""


@dataclass(frozen=True)
class CcpAnnotation:
    """labels: (label index, category index) wanted of this picture; the label's index is the instance's id."""

    path: Path
    labels: tuple[tuple[int, int], ...]
    size: Size | None = None
    count: int = 0

    def find(self, size: Size) -> Iterator[Found]:
        truth = _read(self.path, "groundtruth")
        if truth.shape != size[::-1]:
            raise InputError(
                f"{self.path} labels {truth.shape[::-1]} pixels but its photo has {size}; take both from one release"
            )
        for label, category in self.labels:
            inside = truth == label
            if inside.any():
                yield Found(label, category, inside)


def label_names(root: Path) -> list[str]:
    """The names of the labels; their position is their index. Raises ``InputError`` if this is no CCP folder."""
    path = root / "label_list.mat"
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; pass the folder of Clothing Co-Parsing, which holds it, as --data_root"
        )
    return [str(name) for name in _read(path, "label_list").ravel()]


def plan_ccp(
    root: Path,
    names: dict[str, list[str]],
    val_share: float,
    seed: int,
    workers: int,
    progress: Callable[[Iterable[Scan], int], Iterable[Scan]],
) -> Plan:
    """Scans all annotations for the wanted labels, then splits the pictures so that both domains validate."""
    known = label_names(root)
    for domain, flag in (("A", "--cat1"), ("B", "--cat2")):
        check_names(names[domain], known, flag, str(root / "label_list.mat"))
    check_apart(names["A"], names["B"])
    wanted = {
        domain: [(known.index(name), category) for category, name in enumerate(of_domain)]
        for domain, of_domain in names.items()
    }
    plan = Plan({"kind": "ccp", "seed": seed, "val_share": val_share}, _categories(names, known))
    paths = _annotation_files(root)
    scan = partial(_labels_of, wanted=[label for of_domain in wanted.values() for label, _ in of_domain])
    drafts = []
    for path, (present, problem) in zip(paths, progress(in_order(scan, paths, workers), len(paths)), strict=True):
        if problem:
            plan.problems.append(Problem(path.name, problem, pictures=1))
            continue
        found = {domain: tuple(pair for pair in wanted[domain] if pair[0] in present) for domain in wanted}
        domains: dict[str, Any] = {domain: CcpAnnotation(path, pairs) for domain, pairs in found.items() if pairs}
        if domains:
            photo = f"photos/{path.stem}.jpg"
            drafts.append(Draft(root / photo, photo, domains, path.stem))
    for domain, flag in (("A", "--cat1"), ("B", "--cat2")):
        if not any(domain in draft.domains for draft in drafts):
            raise InputError(f"{flag}: no picture of {root} shows {', '.join(names[domain])}; choose another label")
    validates = validation_part(["".join(draft.domains) for draft in drafts], val_share, seed)
    plan.add("train", [draft for draft, chosen in zip(drafts, validates, strict=True) if not chosen])
    plan.add("val", [draft for draft, chosen in zip(drafts, validates, strict=True) if chosen])
    return plan


def _categories(names: dict[str, list[str]], known: list[str]) -> dict[str, list[Category]]:
    return {domain: [Category(name, known.index(name)) for name in of_domain] for domain, of_domain in names.items()}


def _annotation_files(root: Path) -> list[Path]:
    folder = root / "annotations" / "pixel-level"
    paths = sorted(folder.glob("*.mat")) if folder.is_dir() else []
    if not paths:
        raise InputError(f"{folder} holds no .mat file; pass the folder of Clothing Co-Parsing as --data_root")
    return paths


def _labels_of(path: Path, wanted: list[int]) -> Scan:
    try:
        present = np.unique(_read(path, "groundtruth"))
        return [label for label in wanted if label in present], ""
    except InputError as error:
        return [], str(error)


def _read(path: Path, name: str) -> np.ndarray:
    """A variable of a .mat file. Raises ``InputError`` naming the file."""
    try:
        return read_table(path, name)
    except KeyError:
        raise InputError(f"{path} has no {name}; take it from a fresh copy of the data set") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); take it from a fresh copy of the data set") from None
