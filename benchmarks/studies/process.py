"""A function in a process of its own, which ends where this one is stopped or killed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from data.preparing.parallel import follow_parent
from instagan.errors import InputError


def in_a_process_of_its_own(name: str, function: Callable[..., Any], *given: Any) -> Any:
    """``function(*given)`` where nothing earlier has left anything in memory.

    Raises ``InputError``, with the name, where the process dies.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), follow_parent) as fresh:
        try:
            return fresh.submit(function, *given).result()
        except BrokenProcessPool:
            raise InputError(f"the process of {name} was killed; is there enough memory?") from None
        except KeyboardInterrupt:  # leaving waits for the process, which has Ctrl-C ignored
            for process in multiprocessing.active_children():
                process.kill()
            raise
