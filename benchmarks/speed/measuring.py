"""How every benchmark measures: variants in turn, medians with their range, and where it ran."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from instagan.errors import InputError


@dataclass(frozen=True)
class Spread:
    """What repeated measurements of one thing gave."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    @classmethod
    def from_figures(cls, figures: Mapping[str, float]) -> Spread:
        return cls(figures["median"], figures["min"], figures["max"])

    def figures(self) -> dict[str, float]:
        return {"median": self.median, "min": self.low, "max": self.high}

    def __str__(self) -> str:
        """At least three digits of the median."""
        digits = 1 if self.median >= 10 else 2 if self.median >= 1 else 3 if self.median >= 0.1 else 4
        return f"{self.median:.{digits}f} ({self.low:.{digits}f} ... {self.high:.{digits}f})"


def clocked(run: Callable[[], object]) -> Callable[[], float]:
    """Runs it, and gives the seconds that it took."""

    def turn() -> float:
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    return turn


def interleave(variants: Mapping[str, Callable[[], float]], repeats: int, warm_ups: int = 1) -> dict[str, list[float]]:
    """Seconds of every variant, as it gives them: ``repeats`` in turn (A B C A B C ...) after ``warm_ups`` of each."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(-warm_ups, repeats):
        for name, run in variants.items():
            taken = run()
            if turn >= 0:
                seconds[name].append(taken)
    return seconds


def reason(error: InputError | RuntimeError) -> str:
    """Why something cannot be measured, in one line."""
    if isinstance(error, InputError):
        return str(error)
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def ratio(of: Sequence[float], to: Sequence[float]) -> Spread:
    """``of`` / ``to``, turn by turn: what slows the computer for a while slows neighbours in time alike."""
    return Spread.of([one / other for one, other in zip(of, to, strict=True)])


def machine(device: str = "cpu") -> dict[str, Any]:
    """What the measurements ran on."""
    cuda = torch.device(device).type == "cuda"
    return {
        "device": device,
        "name": torch.cuda.get_device_name(device) if cuda else _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def load() -> float | None:
    """How many programs this machine has had to run at a time, in the last minute; None where it is not told."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def described(facts: Mapping[str, Any]) -> str:
    """``machine`` in one line."""
    return (
        f"{facts['device']}: {facts['name']}, {facts['cores']} cores, {facts['threads']} threads; "
        f"Python {facts['python']}, torch {facts['torch']}"
        + (f"; load {facts['load_before']:.1f} before" if facts.get("load_before") is not None else "")
    )


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as they need be, the first to the left and the others to the right."""
    cells = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    aligned = [
        [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for row in cells
    ]
    return "\n".join("  ".join(row).rstrip() for row in aligned)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
