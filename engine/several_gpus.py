"""``--gpu_ids 0,1,2,3``: a process for each GPU, started, told of signals and waited for by this one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from types import FrameType

from engine.device import gpu_list
from engine.launch import place_here
from engine.stop_request import SIGNALS

GRACE = 60.0
"""Seconds that the other processes have to end by themselves after one has failed; they notice at their next step."""


def gpus_to_start(options: Namespace, tell: Callable[[str], None]) -> list[int]:
    """The GPUs of ``--gpu_ids`` where they are several and this process is not yet one rank of several; else none.

    tell: is told in one sentence what will be started, and how large the batch of all processes together is.
    """
    gpus = gpu_list(options) or []
    count = len(gpus)
    if count < 2 or place_here() is not None:
        return []
    tell(
        f"--gpu_ids {','.join(map(str, gpus))}: starting {count} processes, one for each GPU, as torchrun "
        f"--nproc_per_node {count} does; each takes --batch_size {options.batch_size}, "
        f"together {count * options.batch_size} image pairs"
    )
    return gpus


def start_ranks(program: str, argv: Sequence[str], count: int) -> int:
    """Runs the program in ``count`` processes that find each other; returns the exit code once all have ended.

    Signals are passed on, so that Ctrl-C saves and ends all of them after the same step. When one process fails, the
    others are ended, too.
    """
    ranks: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, frame: FrameType | None = None) -> None:
        for rank in ranks:
            rank.send_signal(number)

    in_main = threading.current_thread() is threading.main_thread()
    earlier = {number: signal.signal(number, pass_on) for number in SIGNALS if in_main and _is_wanted(number)}
    try:
        port = _free_port()
        for rank in range(count):  # a session of its own: Ctrl-C must arrive once, from here, not twice
            command = [sys.executable, program, *argv]
            ranks.append(subprocess.Popen(command, env=_environment(rank, count, port), start_new_session=True))
        _wait(ranks)
    finally:
        for rank in ranks:
            rank.kill()  # does nothing to one that has ended
        for number, handler in earlier.items():
            signal.signal(number, handler)
    codes = [rank.wait() for rank in ranks]
    told = next((code for code in codes if code > 0), 0)  # rank 0's first: it has said why
    return told or (128 - min(codes) if min(codes) < 0 else 0)


def _wait(ranks: Sequence[subprocess.Popen[bytes]]) -> None:
    """Until all have ended, or ``GRACE`` seconds after one has failed."""
    until = None
    while any(rank.poll() is None for rank in ranks):
        if until is None and any(rank.poll() for rank in ranks):
            until = time.monotonic() + GRACE
        if until is not None and time.monotonic() > until:
            return
        time.sleep(0.1)


def _environment(rank: int, count: int, port: int) -> dict[str, str]:
    """What torchrun would set."""
    threads = max((os.cpu_count() or 1) // count, 1)
    place = {"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
    own = {"MASTER_ADDR": "127.0.0.1", **{name: str(value) for name, value in place.items()}}
    return {"OMP_NUM_THREADS": str(threads), **os.environ, **own}


def _is_wanted(number: signal.Signals) -> bool:
    """As in ``StopRequest``: what nohup ignores stays ignored."""
    return number in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(number) != signal.SIG_IGN


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
