"""Gives a target its cases and keeps what breaks the law."""

from __future__ import annotations

import hashlib
import pickle
import time
import traceback
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.soak.fuzzing.judging import judge
from tests.soak.fuzzing.target import Target

AT_ONCE = 400
"""Cases that are asked of hypothesis at a time: after a find it starts again with another seed."""

MOST_FINDS = 20
"""Different finds of one target after which it is left alone."""


@dataclass(frozen=True)
class Find:
    """A case that breaks the law: what happened, and the smallest such case that was found."""

    target: str
    told: str
    case: Any
    trace: str

    def keep(self, folder: Path) -> Path:
        """Writes the case, and beside it what happened; returns the case's file."""
        name = f"{self.target.replace(' ', '_')}-{hashlib.sha256(self.told.encode(errors='replace')).hexdigest()[:10]}"
        folder.mkdir(parents=True, exist_ok=True)
        content = self.case if isinstance(self.case, bytes) else pickle.dumps(self.case)
        (folder / f"{name}.case").write_bytes(content)
        (folder / f"{name}.txt").write_text(f"{self.told}\n\n{self.case!r:.4000}\n\n{self.trace}", errors="replace")
        return folder / f"{name}.case"


class _Case:
    """Keeps hypothesis from spelling out what may be megabytes."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def __repr__(self) -> str:
        return "case"


@dataclass
class Count:
    """How often a target was tried, for how long, and what was found."""

    target: str
    cases: int = 0
    seconds: float = 0.0
    finds: list[Find] = field(default_factory=list)


def fuzz(target: Target, cases: int, seconds: float, start: int, folder: Path) -> Count:
    """At most so many cases or seconds. The same cases for the same ``start`` and the same Python process."""
    count, began = Count(target.name), time.perf_counter()
    first = zlib.crc32(target.name.encode()) ^ start
    rounds = 0
    while count.cases < cases and time.perf_counter() - began < seconds and len(count.finds) < MOST_FINDS:
        before = count.cases
        find = _round(target, min(AT_ONCE, cases - count.cases), first + rounds, folder, count, began + seconds)
        rounds += 1
        if find and find.told not in {known.told for known in count.finds}:
            count.finds.append(find)
        if count.cases == before:
            break
    count.seconds = time.perf_counter() - began
    return count


def _round(target: Target, cases: int, start: int, folder: Path, count: Count, until: float) -> Find | None:
    worst: list[tuple[Any, BaseException]] = []

    @seed(start)
    @settings(
        max_examples=cases, database=None, deadline=None, phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck), report_multiple_bugs=False, print_blob=False,
    )  # fmt: skip
    @given(target.cases.map(_Case))
    def attempt(given: _Case) -> None:
        case = given.content
        if not worst and time.perf_counter() > until:
            return
        count.cases += not worst  # what makes a find smaller is no further case
        try:
            judge(target, case, folder)
        except Exception as error:
            worst.append((case, error))
            raise

    with suppress(Exception):
        attempt()
    if not worst:
        return None
    case, error = worst[-1]
    trace = "".join(traceback.format_exception(error))
    return Find(target.name, told_of(error), case, trace)


def told_of(error: BaseException) -> str:
    """What happened and where, without what differs from case to case."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/tests/soak/fuzz" not in frame.filename]
    ours = [frame for frame in frames if "site-packages" not in frame.filename and "/lib/python" not in frame.filename]
    where = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    what = str(error).split(":")[0][:60] if type(error).__name__ == "BrokenLawError" else ""
    return f"{type(error).__name__} {what}{where}".replace("  ", " ")
