"""All targets, each in a process of its own: what ends that process, or never ends, is a find as well."""

from __future__ import annotations

import importlib
import multiprocessing
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tests.soak.fuzzing.judging import SECONDS
from tests.soak.fuzzing.running import Count, Find, fuzz
from tests.soak.fuzzing.target import Target

ROOMS = ("picture_files", "annotation_files", "box_files", "checkpoint_files", "command_lines", "commands", "pages")
"""Modules here with ``targets()``."""

SHARES = 10_000
MOST_MEMORY = 6 * 2**30
"""Bytes that a process may ask for in all, so that what asks for more fails here instead of the machine."""

Engine = Callable[[Target, int, float, int, Path], Count]


def all_targets() -> list[Target]:
    """In order, the largest shares first, so that processes end at about the same time."""
    found = [target for room in ROOMS for target in importlib.import_module(f"tests.soak.fuzzing.{room}").targets()]
    return sorted(found, key=lambda target: (-target.share, target.name))


@dataclass(frozen=True)
class Plan:
    """cases and seconds: of all targets together, told out by their shares. jobs: processes at a time."""

    cases: int
    seconds: float
    start: int
    jobs: int = 2


def run_all(targets: Sequence[Target], plan: Plan, folder: Path, engine: Engine = fuzz) -> Iterator[Count]:
    """The count of each target as soon as it is done. folder: for what the cases are written to."""
    context = multiprocessing.get_context("fork")  # with everything imported, and the same cases in every session
    whole = sum(target.share for target in targets)
    waiting = list(targets)
    running: dict[Connection, tuple[multiprocessing.process.BaseProcess, Target, float]] = {}
    while waiting or running:
        while waiting and len(running) < plan.jobs:
            target = waiting.pop(0)
            cases = max(1, round(plan.cases * target.share / whole))
            seconds = plan.seconds * plan.jobs * target.share / whole
            receiver, sender = context.Pipe(duplex=False)
            place = folder / target.name.replace(" ", "_").replace("'", "")
            process = context.Process(target=_one, args=(target, cases, seconds, plan.start, place, engine, sender))
            process.start()
            sender.close()
            running[receiver] = process, target, time.monotonic() + 2 * seconds + 12 * SECONDS
        ready = wait(list(running), timeout=1.0)
        for receiver, (process, target, until) in list(running.items()):
            if receiver in ready:
                yield _received(receiver, process, target)
            elif time.monotonic() > until:
                process.kill()
                yield Count(target.name, finds=[Find(target.name, "did not end, and could not be stopped", None, "")])
            else:
                continue
            process.join()
            receiver.close()
            del running[receiver]


def _received(receiver: Connection, process: multiprocessing.process.BaseProcess, target: Target) -> Count:
    try:
        return receiver.recv()  # type: ignore[no-any-return]
    except EOFError:
        process.join()
        told = f"the process ended with exit code {process.exitcode}"
        return Count(target.name, finds=[Find(target.name, told, None, "")])


def _one(
    target: Target, cases: int, seconds: float, start: int, place: Path, engine: Engine, sender: Connection
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    place.mkdir(parents=True)
    count = engine(target, cases, seconds, start, place)
    shutil.rmtree(place, ignore_errors=True)
    sender.send(count)
