"""A run that is killed after a step and continued is the uninterrupted one: in every phase and way of training."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.soak.reliability_checks.children import Ended, arguments, data_set, differences, start, wait, warm_up
from tests.soak.reliability_checks.rows import Budget, Row

LAW = "1 resume equality"


@dataclass(frozen=True)
class Kind:
    """A way of training. stops: steps after whose checkpoint it is killed, one after the other."""

    name: str
    stops: tuple[int, ...]
    flags: tuple[str, ...] = ()
    ranks: int = 1
    spawn: bool = False


EVERY_STEP = ("--save_latest_freq", "1")
KINDS = (
    Kind("mid-epoch, before the pools are full", (1,), EVERY_STEP),
    Kind("mid-epoch with full pools", (3,), EVERY_STEP),
    Kind("an epoch's end", (4,), EVERY_STEP),
    Kind("in the decay", (6,), EVERY_STEP),
    Kind("after every step", (1, 2, 3, 4, 5, 6, 7), EVERY_STEP),
    Kind("two forked workers", (3, 6), (*EVERY_STEP, "--num_threads", "2")),
    Kind("two spawned workers", (3,), (*EVERY_STEP, "--num_threads", "2"), spawn=True),
    Kind("bf16", (3, 6), (*EVERY_STEP, "--precision", "bf16")),
    Kind("two ranks over Gloo", (1, 3), ("--save_latest_freq", "2"), ranks=2),
    Kind("the baseline with masks", (3,), (*EVERY_STEP, "--model", "cycle_gan", "--with_masks")),
)


def run(budget: Budget) -> list[Row]:
    warm_up()
    data = data_set(budget.folder / "data", budget.seed)
    straight: dict[tuple[object, ...], Path] = {}
    places = [budget.folder / f"kind_{number}" for number in range(len(KINDS))]
    return [row(kind, tried(kind, data, place, straight)) for kind, place in zip(KINDS, places, strict=True)]


def row(kind: Kind, wrong: str) -> Row:
    told = f"{len(kind.stops)} kills, checkpoint and loss log bit for bit alike"
    return Row(LAW, f"SIGKILL after a step, continued: {kind.name}", wrong or told, not wrong)


def tried(kind: Kind, data: Path, folder: Path, straight: dict[tuple[object, ...], Path]) -> str:
    """What went wrong; empty if nothing did. straight: the uninterrupted runs of ways that were tried before."""
    folder.mkdir()
    way = (kind.flags, kind.ranks, kind.spawn)
    if way not in straight:
        for end in together(kind, arguments(data, folder / "straight", *kind.flags), folder, None):
            if end.code:
                return f"uninterrupted it ended with {end.code}: {end.said[-200:]}"
        straight[way] = folder / "straight" / "run"
    more: tuple[str, ...] = ()
    for stop in kind.stops:
        ends = together(kind, arguments(data, folder / "killed", *kind.flags, *more), folder, stop)
        if ends[0].code != -signal.SIGKILL:
            return f"ended with {ends[0].code} instead of being killed after step {stop}: {ends[0].said[-200:]}"
        more = ("--continue_train",)
    for end in together(kind, arguments(data, folder / "killed", *kind.flags, *more), folder, None):
        if end.code:
            return f"continued it ended with {end.code}: {end.said[-200:]}"
    return ", ".join(differences(straight[way], folder / "killed" / "run")[:2])


def together(kind: Kind, argv: list[str], folder: Path, stop: int | None) -> list[Ended]:
    """How each rank has ended. Rank 0 is killed once the checkpoint of step ``stop`` is complete."""
    port = _free_port()
    started = []
    for rank in range(kind.ranks):
        said = folder / f"rank_{rank}.txt"
        begin = _beginning(kind.spawn, stop if rank == 0 else None)
        started.append((start(argv, said, begin, _environment(rank, kind.ranks, port)), said))
    ends = [wait(pid, said) for pid, said in started]
    return [end for end in ends if end is not None]


def _beginning(spawn: bool, stop: int | None) -> Callable[[], None]:
    def begin() -> None:
        if spawn:
            multiprocessing.set_start_method("spawn", force=True)
        if stop is not None:
            kill_after(stop)

    return begin


def kill_after(step: int) -> None:
    """This process is killed as soon as a checkpoint of that step is saved."""
    from engine.run_folder import RunFolder

    save = RunFolder.save

    def saved(run, tags, model, progress):  # type: ignore[no-untyped-def]
        save(run, tags, model, progress)
        if progress.steps == step:
            os.kill(os.getpid(), signal.SIGKILL)

    RunFolder.save = saved  # type: ignore[method-assign]


def _environment(rank: int, ranks: int, port: int) -> dict[str, str]:
    if ranks == 1:
        return {}
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks, "MASTER_PORT": port}
    return {name: str(value) for name, value in told.items()} | {"MASTER_ADDR": "127.0.0.1"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
