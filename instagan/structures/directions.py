"""The directions that a method translates in, by the letters of the networks and by those of the folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from instagan.errors import InputError

FOLDERS = {"AtoB": ("AB",), "BtoA": ("BA",), "both": ("AB", "BA")}
"""--direction of test.py -> source and target folder of each direction."""


class Direction(NamedTuple):
    """The letters of the source and of the target domain."""

    source: str
    target: str


A_TO_B, B_TO_A = Direction("A", "B"), Direction("B", "A")


def exchanged(direction: Direction, trained: str) -> Direction:
    """A direction of the networks -> that of the folders, and the other way round.

    trained: --direction of train.py. With BtoA the folder B is what the networks know as A; nothing else knows of it.
    """
    return Direction(direction.target, direction.source) if trained == "BtoA" else direction


@dataclass(frozen=True)
class Asked:
    """A direction from folder to folder. networks: the same for the networks. way_back: whether they can go back."""

    source: str
    target: str
    networks: Direction
    way_back: bool

    @property
    def title(self) -> str:
        return f"{self.source}to{self.target}"


def asked_for(flag: str, learned: Sequence[Direction], trained: str) -> list[Asked]:
    """The directions that --direction asks for and a method has learned. Raises ``InputError`` if there is none.

    trained: --direction of the training.
    """
    found = []
    for folders in (A_TO_B, B_TO_A):
        networks = exchanged(folders, trained)
        if networks in learned:
            found.append(Asked(*folders, networks, Direction(*reversed(networks)) in learned))
    asked = [one for one in found if one.source + one.target in FOLDERS[flag]]
    if not asked:
        there = " and ".join(one.title for one in found)
        raise InputError(f"--direction {flag}: the run has learned {there} only; use --direction {there}")
    return asked
