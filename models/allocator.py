"""Memory that a CPU gives back is asked for again in the next moment: glibc is told to keep it.

By default it returns large blocks to the system, which clears every page anew: a tenth of a training step.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -2, -3, -4, -8
"""Parameters of mallopt(3)."""
MEGABYTE = 2**20


def keep_memory() -> bool:
    """Freed memory stays with the process. False, and nothing is done, where malloc is another one or configured."""
    settings = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1, ARENA_MAX: 1, TOP_PAD: 16 * MEGABYTE}
    return not any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ) and _set(settings)


def give_memory_back() -> bool:
    """What glibc arrives at by itself in a program that uses large blocks; for comparing."""
    return _set({MMAP_MAX: 65536, MMAP_THRESHOLD: 32 * MEGABYTE, TRIM_THRESHOLD: 64 * MEGABYTE, TOP_PAD: 131072})


def return_free_pages() -> None:
    """Once, what is free now: holes between blocks that add up over a step of many mini-batches."""
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def _set(settings: dict[int, int]) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    return all(mallopt(parameter, value) == 1 for parameter, value in settings.items())
