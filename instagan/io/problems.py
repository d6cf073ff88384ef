"""What is wrong in annotations, and what it costs to go on without the parts that are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from instagan.errors import InputError

SKIPPING = "or pass --skip_bad to go on without it"


@dataclass(frozen=True)
class Problem:
    """One bad part of a source: an instance, a picture or a file.

    file       the file that is named in lists of such parts
    sentence   what is wrong and what to do, naming file and place
    pictures   that are left out because of it; it is 0 for an instance of a picture that has others
    instances  that are left out because of it, as far as they are known
    """

    file: str
    sentence: str
    pictures: int = 0
    instances: int = 0


def refuse(problems: Sequence[Problem]) -> None:
    """Raises ``InputError`` with the first problem, if there is one."""
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(f"{problems[0].sentence}, {SKIPPING}{more}")


def cost(problems: Iterable[Problem]) -> str:
    """What ``--skip_bad`` costs, such as "left out as bad: 1 picture and 3 instances"; "" without problems."""
    listed = list(problems)
    sums = {what: sum(getattr(problem, f"{what}s") for problem in listed) for what in ("picture", "instance")}
    parts = [counted(number, what) for what, number in sums.items() if number]
    return f"left out as bad: {' and '.join(parts) or counted(len(listed), 'record')}" if listed else ""


def counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
