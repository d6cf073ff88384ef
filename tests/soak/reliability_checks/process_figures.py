"""What a running program and its children take, as Linux tells it in /proc."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Taken:
    """memory: MiB of its own, no files' (what processes share counts in part); files: open ones; cpu: seconds so far,
    of the program without its children."""

    memory: float
    files: int
    threads: int
    cpu: float


def taken(process: int) -> Taken | None:
    """None where it has ended."""
    try:
        family = [process, *_descendants(process)]
        memory = sum(_memory(one) for one in family)
        files = sum(len(os.listdir(f"/proc/{one}/fd")) for one in family)
        threads = sum(len(os.listdir(f"/proc/{one}/task")) for one in family)
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return Taken(memory, files, threads, (int(fields[11]) + int(fields[12])) / TICKS)
    except (OSError, ValueError, IndexError):
        return None


def _memory(process: int) -> float:
    """Without pages of files: those of libraries come and go with what else the machine does."""
    lines = [line.split() for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()]
    kibibytes = [int(line[1]) for line in lines if line[0] in ("Pss_Anon:", "Pss_Shmem:")]
    if not kibibytes:
        raise ValueError(f"/proc/{process}/smaps_rollup tells no Pss_Anon; Linux 5.4 or newer does")
    return sum(kibibytes) / 1024


def _descendants(process: int) -> list[int]:
    found = []
    with suppress(OSError):
        for task in os.listdir(f"/proc/{process}/task"):
            children = Path(f"/proc/{process}/task/{task}/children").read_text().split()
            found += [one for child in children for one in (int(child), *_descendants(int(child)))]
    return found
