"""Threads beside the one that computes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import torch


def beside(work: Callable[[], None], name: str) -> Thread:
    """A daemon thread, not yet started, whose torch operations use no thread but this one.

    Otherwise it would get a team of OpenMP threads of its own. OpenMP then sees more threads than processors and lets
    all of them sleep between operations, also those of the computation: on two cores, small training steps took twice
    as long from the first picture on that such a thread had drawn.
    """
    torch.get_num_threads()  # settles this thread's number: what the other sets is the default of those still to come

    def alone() -> None:
        torch.set_num_threads(1)
        work()

    return Thread(target=alone, name=name, daemon=True)


def pool_beside(workers: int, name: str) -> ThreadPoolExecutor:
    """As many such threads, for calls whose results are awaited."""
    torch.get_num_threads()
    return ThreadPoolExecutor(workers, name, torch.set_num_threads, (1,))
