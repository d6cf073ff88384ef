"""What tests of several ranks share: work done by real processes that talk over Gloo.

Everything has a limit of time: ranks that wait for each other for ever are a failure, not a hanging test.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from engine.parallel import World

PATIENCE = 120
"""Seconds for ranks to end; they take one or two."""


@dataclass(frozen=True)
class Ended:
    """How a rank ended: exit code, what its work returned (None if it did not), what it printed."""

    code: int
    result: Any
    printed: str
    errors: str


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fork(size: int, folder: Path, work: Callable[..., Any], *arguments: Any) -> list[Ended]:
    """Calls ``work(rank, *arguments)`` in ``size`` forked processes with torchrun's environment, waits for all."""
    folder = folder / f"ranks_{time.monotonic_ns()}"
    folder.mkdir(parents=True)
    context, port = multiprocessing.get_context("fork"), free_port()
    processes = [
        context.Process(target=_child, args=(rank, size, port, folder, work, arguments)) for rank in range(size)
    ]
    for process in processes:
        process.start()
    limit = time.monotonic() + PATIENCE
    for process in processes:
        process.join(max(limit - time.monotonic(), 0))
    stuck = [rank for rank, process in enumerate(processes) if process.exitcode is None]
    for process in processes:
        process.kill()
        process.join()
    assert not stuck, f"ranks {stuck} of {size} did not end"
    return [_ended(process.exitcode, folder, rank) for rank, process in enumerate(processes)]


def on_ranks(size: int, folder: Path, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What ``work(world, *arguments)`` returns on each rank."""
    ended = fork(size, folder, _connected, size, work, *arguments)
    assert [one.code for one in ended] == [0] * size, ended[0].errors
    return [one.result for one in ended]


def _connected(rank: int, size: int, work: Callable[..., Any], *arguments: Any) -> Any:
    distributed.init_process_group("gloo", timeout=timedelta(seconds=PATIENCE))
    result = work(World(rank, size), *arguments)
    distributed.barrier()
    distributed.destroy_process_group()
    return result


def _child(rank: int, size: int, port: int, folder: Path, work: Callable[..., Any], arguments: tuple) -> None:
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    with (folder / f"{rank}.out").open("w") as out, (folder / f"{rank}.err").open("w") as err:
        code = 1
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                torch.save(work(rank, *arguments), folder / f"{rank}.pt")
                code = 0
            except BaseException:
                traceback.print_exc()
    os._exit(code)  # what pytest would do at the end is not for this process


def _ended(code: int, folder: Path, rank: int) -> Ended:
    result = folder / f"{rank}.pt"
    return Ended(
        code,
        torch.load(result, weights_only=False) if result.exists() else None,
        (folder / f"{rank}.out").read_text(),
        (folder / f"{rank}.err").read_text(),
    )
