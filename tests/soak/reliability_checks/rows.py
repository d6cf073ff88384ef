"""The contract of a check: a module here with ``run(budget) -> rows``, and one line in the table of reliability.py.

A check runs in a process of its own, tells the laws of docs/reliability.md that it tried and what it counted, and
leaves nothing behind outside ``budget.folder``. A law that does not hold is a row that did not pass; an exception
counts as one, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

COLUMNS = ("law", "how it is tested", "figure", "")


@dataclass(frozen=True)
class Row:
    """law: number and name ("2 kill anywhere"). how: it is tested. figure: what was counted or measured, in words."""

    law: str
    how: str
    figure: str
    passed: bool


@dataclass(frozen=True)
class Budget:
    """How much to try. kills: of a running training; places: drawn in a
    file, for each kind of damage; cases: of generated input; steps: of the long run; folder: an
    empty one for files."""

    folder: Path
    kills: int = 100
    places: int = 6
    cases: int = 10_000
    steps: int = 2000
    seed: int = 0


def table(rows: Sequence[Row]) -> str:
    """The rows in the order of their laws, as a table in Markdown."""
    ordered = sorted(rows, key=lambda row: int("".join(filter(str.isdecimal, row.law.partition(" ")[0])) or 0))
    cells = [COLUMNS, *((row.law, row.how, row.figure, "holds" if row.passed else "BROKEN") for row in ordered)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(COLUMNS))]
    lines = [
        "| " + " | ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])
