"""``loss_log.jsonl``: one line per logged step, appended; the numbers that outlive every other tracker."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from engine.schedule import Progress
from instagan.io.writing import replace_content
from trackers import Losses, Paths, Pictures

PLACE = ("step", "epoch", "pictures")
"""Keys of a line that say where it stands. The others are facts and losses under their own names."""

FACTS = ("lr", "seconds_per_picture", "data_wait")
RATE = "lr_"
"""Facts that train.py logs, and what the names of the optimizers' other learning rates begin with."""

VALIDATION = "val_"
"""What the name of a figure of validation pictures begins with: it is no loss, though it is kept as one."""


class LossLog:
    """Appends one flat json object per call: place, facts, losses. A value that is not finite is written as null.

    A loss whose name is taken by the place or by a fact is written as ``loss_<name>``. Every line is handed to the
    operating system at once; a line that was cut short (full disk, killed run) is closed before the next one.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b", buffering=0)

    def losses(self, progress: Progress, losses: Losses, facts: Losses) -> None:
        line: dict[str, Any] = dict(zip(PLACE, (progress.steps, progress.epoch, progress.pictures), strict=True))
        for name, value in (*facts.items(), *losses.items()):
            line[f"loss_{name}" if name in line else name] = float(value) if math.isfinite(value) else None
        text = (b"" if self._at_line_start() else b"\n") + json.dumps(line).encode() + b"\n"
        if self._file.write(text) != len(text):
            raise OSError(f"{self._file.name}: only part of a line could be written")

    def pictures(self, progress: Progress, pictures: Pictures, paths: Paths) -> None:
        """A log of numbers keeps no pictures."""

    def close(self) -> None:
        self._file.close()

    def _at_line_start(self) -> bool:
        end = self._file.seek(0, os.SEEK_END)
        if end == 0:
            return True
        self._file.seek(end - 1)
        return self._file.read(1) == b"\n"


def is_fact(name: str) -> bool:
    """Whether a key of a line is its place or a fact of train.py, and no loss."""
    return name in PLACE or name in FACTS or name.startswith(RATE)


def read(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a log, in order; [] where there is none. Lines that were cut short are left out."""
    path = Path(path)
    return [parsed for _, parsed in _lines(path)] if path.exists() else []


def last_losses(path: str | Path) -> dict[str, float]:
    """The losses of the last line that has any, by name; none where there is no such line."""
    for line in reversed(read(path)):
        told = {name: value for name, value in line.items() if not is_fact(name)}
        if losses := {name: value for name, value in told.items() if not name.startswith(VALIDATION)}:
            return losses
    return {}


def drop_after(path: str | Path, step: int) -> None:
    """Removes, at once, the lines of later steps than ``step``: what a killed run logged after its checkpoint."""
    path = Path(path)
    if path.exists():
        kept = [raw for raw, parsed in _lines(path) if parsed["step"] <= step]
        replace_content(path, b"".join(raw + b"\n" for raw in kept))


def _lines(path: Path) -> list[tuple[bytes, dict[str, Any]]]:
    """Every whole line of the file with its meaning."""
    lines = []
    for raw in path.read_bytes().splitlines():
        try:
            parsed = json.loads(raw)
        except (ValueError, RecursionError):
            continue
        if isinstance(parsed, dict) and isinstance(parsed.get("step"), int) and abs(parsed["step"]) < 2**53:
            lines.append((raw, parsed))
    return lines
