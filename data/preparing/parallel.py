"""A function over many items, in order, on any number of processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.connection import wait
from typing import TypeVar

from instagan.errors import InputError

Item, Result = TypeVar("Item"), TypeVar("Result")

AHEAD = 8
"""Items given out per process before the oldest result is asked for."""


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """``map(function, items)`` on ``workers`` processes, reading ahead a little; with one it runs here.

    Closing the iterator lets running items finish and drops the rest. Raises ``InputError`` if a process is killed.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    waiting: deque[Future[Result]] = deque()
    remaining = iter(items)
    pool = ProcessPoolExecutor(workers, initializer=follow_parent)
    try:
        for item in islice(remaining, workers * AHEAD):
            waiting.append(pool.submit(function, item))
        while waiting:
            result = waiting.popleft().result()
            for item in islice(remaining, 1):
                waiting.append(pool.submit(function, item))
            yield result
    except BrokenProcessPool:
        raise InputError(
            "one of the --workers was killed, most likely for want of memory; run the same command with --workers 1"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def follow_parent() -> None:
    """Ctrl-C is the parent's to handle; and a worker ends when its parent is gone, however that happened."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
