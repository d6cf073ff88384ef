"""What every source of annotations is turned into: one task per picture and domain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from data.placement import Size
from data.preparing.names import distinct_names
from instagan.io.problems import Problem


@dataclass(frozen=True, eq=False)
class Found:
    """One instance: id in its source, category index of its domain, mask (H, W) bool at the picture's full size."""

    id: int | str
    category: int
    inside: np.ndarray
    score: float | None = None
    from_box: bool = False
    """Whether the source gives a box and no mask, so that a rectangle stands for it."""
    keypoints: tuple[float, ...] = ()
    """x, y, visibility, x, ... in pixels of the picture, where they are looked at."""


class Annotation(Protocol):
    """Knows the instances of one picture. Travels to another process, so it is small and holds no open file."""

    size: Size | None
    """Width and height of the picture that was annotated, where the source tells; then the picture must agree."""

    @property
    def count(self) -> int:
        """How many instances it has; 0 where nobody knows before it is read."""

    def find(self, size: Size) -> Iterable[Found]:
        """The instances of a picture of ``size``, in the source's order. Raises ``InputError`` naming the source."""


@dataclass(frozen=True)
class Task:
    """One picture of one domain ("A" or "B"): NAME of the files to write, picture to read, its name in the source."""

    phase: str
    domain: str
    name: str
    picture: Path
    source: str
    annotation: Annotation
    source_id: int | str | None = None

    @property
    def folder(self) -> str:
        return f"{self.phase}{self.domain}"

    @property
    def key(self) -> str:
        """The picture's path in the data set."""
        return f"{self.folder}/{self.name}.png"


@dataclass(frozen=True)
class Category:
    """name, how the source counts it, and the names of its keypoints, where they are looked at."""

    name: str
    source_id: int | str | list[int | str] | None = None
    keypoints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Draft:
    """A task before its phase and its name are settled. ``domains`` says how to read it for each domain it is in."""

    picture: Path
    source: str
    domains: dict[str, Annotation]
    source_id: int | str | None = None


@dataclass
class Plan:
    """Everything to be prepared, in order.

    source      what the set was made from, for dataset.json
    categories  domain -> its categories; their index is the position
    problems    what is wrong in the source already
    notes       what the summary should tell
    """

    source: dict[str, Any]
    categories: dict[str, list[Category]]
    tasks: list[Task] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, phase: str, drafts: Iterable[Draft]) -> None:
        """Names the pictures and appends a task for every domain they are in. Once for a phase and domain."""
        listed = list(drafts)
        for domain in ("A", "B"):
            self.tasks.extend(_named(phase, domain, [draft for draft in listed if domain in draft.domains]))
        both = sum(len(draft.domains) == 2 for draft in listed)
        if both:
            self.notes.append(f"{both} {phase} pictures hold categories of both domains and are in both")


def _named(phase: str, domain: str, drafts: list[Draft]) -> Iterator[Task]:
    names = distinct_names(draft.source for draft in drafts)
    for name, draft in zip(names, drafts, strict=True):
        yield Task(phase, domain, name, draft.picture, draft.source, draft.domains[domain], draft.source_id)
