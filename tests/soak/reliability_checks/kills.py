"""SIGKILL at random moments of a small training, at every file operation of its saves, and of train.py itself."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from instagan.io.sealed import fault
from tests.soak.reliability_checks.children import (
    PATIENCE,
    ROOT,
    arguments,
    data_set,
    differences,
    kill,
    start,
    trained,
    wait,
    warm_up,
)
from tests.soak.reliability_checks.file_operations import Operations, killing, noting
from tests.soak.reliability_checks.rows import Budget, Row

LAW = "2 kill anywhere"
CHAINS = 2
"""Runs that are killed at the same time, each by a process of its own."""
PROGRAM_KILLS = 3
AT_EPOCHS = ("--save_latest_freq", 0)
MOST_IN_A_ROW = 12
"""Kills of one run; then it is left alone, so that the result is looked at now and then."""


@dataclass
class Tally:
    """kills: that met a living process. ends: runs that were continued to their end. wrong: what was not as it must."""

    kills: int = 0
    ends: int = 0
    wrong: list[str] = field(default_factory=list)

    def __iadd__(self, other: Tally) -> Tally:
        return Tally(self.kills + other.kills, self.ends + other.ends, self.wrong + other.wrong)

    def figure(self) -> str:
        told = f"{self.kills} kills, {self.ends} runs continued to their end, all bit for bit the uninterrupted one"
        return told if not self.wrong else f"{self.kills} kills; {len(self.wrong)} wrong: {self.wrong[0]}"


@dataclass(frozen=True)
class Scene:
    """What all kills share. straight: the uninterrupted run; seconds: that it took."""

    data: Path
    straight: Path
    seconds: float
    folder: Path

    def continued(self, place: Path) -> list[str]:
        """How to start or to go on, if only the folder is there."""
        begun = (place / "run").exists()
        return arguments(self.data, place, *(["--continue_train"] if begun else []))


def run(budget: Budget) -> list[Row]:
    stage = scene(budget)
    marks = points_of_a_save(stage, budget.places)
    rows = [
        row("SIGKILL at random moments of a run, also while it goes on", moments(stage, budget.kills, budget.seed)),
        row(f"SIGKILL before and after the {len(marks)} file operations of a save", at_operations(stage, marks)),
        row("SIGKILL of python train.py with two workers", of_the_program(stage, budget.seed)),
    ]
    return rows


def row(how: str, tally: Tally) -> Row:
    return Row(LAW, how, tally.figure(), not tally.wrong)


def scene(budget: Budget) -> Scene:
    warm_up()
    data, straight = data_set(budget.folder / "data", budget.seed), budget.folder / "straight"
    started = time.monotonic()
    ended = trained(arguments(data, straight), budget.folder / "straight.txt")
    if ended.code:
        raise RuntimeError(f"the uninterrupted run ended with {ended.code}: {ended.said[-300:]}")
    return Scene(data, straight / "run", time.monotonic() - started, budget.folder)


def moments(stage: Scene, kills: int, seed: int) -> Tally:
    """So many kills at moments that are drawn from the length of a run."""
    shares = [kills // CHAINS + (number < kills % CHAINS) for number in range(CHAINS)]
    context, tally = get_context("fork"), Tally()
    with ProcessPoolExecutor(CHAINS, context) as pool:
        chains = [pool.submit(_random_kills, stage, share, f"{seed}{n}") for n, share in enumerate(shares)]
        for chain in chains:
            tally += chain.result()
    return tally


def _random_kills(stage: Scene, kills: int, name: str) -> Tally:
    draw, tally, number = random.Random(name), Tally(), 0
    while tally.kills < kills and not tally.wrong:
        place, number, in_a_row = stage.folder / f"moments_{name}_{number}", number + 1, 0
        while in_a_row < MOST_IN_A_ROW and tally.kills < kills:
            said = place.with_suffix(".txt")
            pid = start(stage.continued(place), said)
            ended = wait(pid, said, seconds=draw.uniform(0, stage.seconds))
            if ended is not None:
                if ended.code:
                    return Tally(tally.kills, tally.ends, [f"ended with {ended.code}: {ended.said[-200:]}"])
                break
            kill(pid)
            tally.kills, in_a_row = tally.kills + 1, in_a_row + 1
        tally += finished(stage, place)
    return tally


def finished(stage: Scene, place: Path) -> Tally:
    """Lets a run go on to its end, and compares it with the uninterrupted one."""
    ended = trained(stage.continued(place), place.with_suffix(".txt"))
    if ended.code:
        return Tally(wrong=[f"--continue_train ended with {ended.code}: {ended.said[-200:]}"])
    return Tally(ends=1, wrong=[f"differs: {found}" for found in differences(stage.straight, place / "run")[:1]])


def points_of_a_save(stage: Scene, places: int) -> list[tuple[int, str]]:
    """The operations of a save that keeps a numbered checkpoint, and the latest one before it: number and name.

    Numbers count from the run's first save on. Of the hundreds of writes of the checkpoint's own file so many
    are taken, evenly; of all else every one.
    """
    noted, place = stage.folder / "operations.txt", stage.folder / "noted"
    watch = Operations(place, noting(noted)).watch
    ended = trained(arguments(stage.data, place, *AT_EPOCHS), place.with_suffix(".txt"), watch)
    if ended.code:
        raise RuntimeError(f"the watched run ended with {ended.code}: {ended.said[-300:]}")
    lines = list(enumerate(noted.read_text().splitlines()))
    names = ("before open .latest.pth", "before open latest.pth")
    opened = [number for number, line in lines if line.startswith(names)]
    second = opened[1]  # under its temporary name; under its own, if saving were ever not atomic
    lines = [(number, line) for number, line in lines[second:] if "loss_log" not in line]
    writes = [point for point in lines if " write " in point[1]]
    kept = [writes[(2 * place + 1) * len(writes) // (2 * places)] for place in range(places)]
    return sorted({*kept, *(point for point in lines if " write " not in point[1])})


def at_operations(stage: Scene, points: Iterable[tuple[int, str]]) -> Tally:
    """A run that has saved before is killed at each of them, must still have a checkpoint, and is continued."""
    with ProcessPoolExecutor(CHAINS, get_context("fork")) as pool:
        tally = Tally()
        for found in pool.map(_killed_at, *zip(*((stage, point) for point in points), strict=True)):
            tally += found
    return tally


def _killed_at(stage: Scene, point: tuple[int, str]) -> Tally:
    number, name = point
    place = stage.folder / f"operation_{number}"
    watch = Operations(place, killing(number)).watch
    ended = trained(arguments(stage.data, place, *AT_EPOCHS), place.with_suffix(".txt"), watch)
    if ended.code != -signal.SIGKILL:
        return Tally(wrong=[f"{name}: ended with {ended.code} before it was reached"])
    left = sorted(found.name for found in (place / "run").iterdir())
    tally = Tally(kills=1)
    if not any(fault(file) == "" for file in (place / "run").glob("[!.]*.pth")):
        return Tally(1, 0, [f"{name}: no whole checkpoint is left of the saves before (there is {', '.join(left)})"])
    tally += finished(stage, place)
    stale = [name for name in os.listdir(place / "run") if name.endswith(".tmp") or name == "lock.json"]
    tally.wrong += [f"{name}: {stale[0]} is left (there was {', '.join(left)})"] if stale else []
    return tally


def of_the_program(stage: Scene, seed: int) -> Tally:
    """As moments, but of a real process with workers, when it has just logged so many steps."""
    place, draw, tally = stage.folder / "program", random.Random(seed), Tally()
    log = place / "run" / "loss_log.jsonl"
    for step in sorted(draw.sample(range(1, 7), PROGRAM_KILLS)):
        words = [sys.executable, str(ROOT / "train.py"), *stage.continued(place), "--num_threads", "2"]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
        limit = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < limit:
            if log.exists() and log.read_text().count("\n") >= step:
                process.kill()
            time.sleep(0.005)
        _, error = process.communicate()
        if process.returncode != -signal.SIGKILL:
            return Tally(tally.kills, 0, [f"train.py ended with {process.returncode}: {error.decode()[-200:]}"])
        tally.kills += 1
    tally += finished(stage, place)
    return tally
