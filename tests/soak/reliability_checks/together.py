"""Cases of a check that are tried beside each other, each in a forked process that may start trainings of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

Case = TypeVar("Case")
PROCESSES = int(os.environ.get("RELIABILITY_PROCESSES", 0)) or max(2, os.cpu_count() or 1)


def wrongs(cases: Iterable[Case], attempt: Callable[[int, Case], list[str]]) -> list[str]:
    """What is wrong with any of them, in their order. attempt: of a case and its number; a function of a module."""
    with ProcessPoolExecutor(PROCESSES, get_context("fork")) as pool:
        tried = [pool.submit(attempt, number, case) for number, case in enumerate(cases)]
        return [what for one in tried for what in one.result()]
