"""Variants made ready to be timed: built, run once, and those that cannot run left out with the reason.

Each has a process of its own, because what one leaves in the allocator makes another slower, and waits there for its
turn.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Literal

import torch

from benchmarks.speed.ceiling import counted
from benchmarks.speed.measuring import clocked, reason
from benchmarks.speed.variants import System, Variant, Workload, build
from engine.device import wait_for
from instagan.errors import InputError
from instagan.kernels.processor import PRECISIONS
from instagan.structures.instances import UnpairedBatch

Use = Literal["training_step", "translate"]
"""What is timed of a system."""

ENDED = "the process was ended from outside, most likely for want of memory"


@dataclass(frozen=True)
class Ready:
    """A variant that has run once: its precision, and the FLOPs of that run if they were counted."""

    dtype: torch.dtype
    flops: int | None


class Runner:
    """A variant in a process of its own. Called, it runs once and gives the seconds."""

    def __init__(self, variant: Variant, workload: Workload, use: Use) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.name = variant.name
        self._connection, theirs = spawn.Pipe()
        job = (theirs, variant, workload, use, torch.get_num_threads())
        self._process = spawn.Process(target=serve, args=job, daemon=True)
        self._process.start()
        theirs.close()

    def ready(self) -> Ready | str:
        """Waits for the first run; the reason if there is none."""
        answer: Ready | str = self._answer()
        return answer

    def __call__(self) -> float:
        """Raises ``InputError`` if the variant can no more."""
        seconds: float | str = self._answer(ask=True)
        if isinstance(seconds, str):
            raise InputError(f"--variant {self.name} ended while it was measured: {seconds}; leave it out")
        return seconds

    def close(self) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.join()

    def _answer(self, ask: bool = False) -> Any:
        try:
            if ask:
                self._connection.send(True)
            return self._connection.recv()
        except (EOFError, ConnectionError):
            return ENDED


@dataclass(frozen=True)
class Runs:
    """The runners by variant, with what their first runs told; why other variants have none."""

    runners: dict[str, Runner] = field(default_factory=dict)
    first: dict[str, Ready] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def flops(self) -> dict[str, int]:
        """Of the variants for which they were counted."""
        return {name: ready.flops for name, ready in self.first.items() if ready.flops is not None}

    def notes(self) -> list[str]:
        return [f"{name} is left out: {why}" for name, why in self.missing.items()]


@contextmanager
def first_runs(variants: Sequence[Variant], workload: Workload, use: Use) -> Iterator[Runs]:
    """Every variant has run once, one after the other. Raises ``InputError`` if none can."""
    runs = Runs()
    started: list[Runner] = []
    try:
        for variant in variants:
            runner = Runner(variant, workload, use)
            started.append(runner)
            ready = runner.ready()
            if isinstance(ready, str):
                runs.missing[variant.name] = ready
            else:
                runs.runners[variant.name], runs.first[variant.name] = runner, ready
        if not runs.runners:
            raise InputError(f"nothing to measure: {'; '.join(runs.notes())}")
        yield runs
    finally:
        for runner in started:
            runner.close()


def serve(connection: Connection, variant: Variant, workload: Workload, use: Use, threads: int) -> None:
    """Sends a ``Ready``, then seconds for everything received; the reason, and no more, when it fails."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: the one who measures ends the others
    torch.set_num_threads(threads)
    try:
        system = build(variant, workload)
        run = partial(_finished, use, system, workload.pair().to(system.device))
        eager = set(variant.switches) <= set(PRECISIONS)  # compiled code is not counted, recomputing does not count
        flops = counted(run) if eager else None
        turn = clocked(run)
        if not eager:
            turn()
        connection.send(Ready(system.dtype, flops))
        while connection.recv():
            connection.send(turn())
    except (InputError, RuntimeError) as error:  # not enough memory, or something that cannot be compiled here
        connection.send(reason(error))
    except (EOFError, ConnectionError):
        return  # nothing more is asked


def _finished(use: Use, system: System, pair: UnpairedBatch) -> None:
    getattr(system, use)(pair)
    wait_for(system.device)
