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

_kept = False
"""Whether ``keep_memory`` is in force."""


def keep_memory() -> bool:
    """Freed memory stays with the process. False, and nothing is done, where malloc is another one or configured."""
    global _kept
    settings = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1, ARENA_MAX: 1, TOP_PAD: 16 * MEGABYTE}
    configured = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    _kept = not configured and _set(settings)
    return _kept


def give_memory_back() -> bool:
    """What glibc arrives at by itself in a program that uses large blocks; for comparing.

    What was kept goes back: a program that begins with the holes that another one left is slower than by itself.
    """
    global _kept
    _kept = False
    settings = {MMAP_MAX: 65536, MMAP_THRESHOLD: 32 * MEGABYTE, TRIM_THRESHOLD: 64 * MEGABYTE, TOP_PAD: 131072}
    return _set(settings) and ctypes.CDLL(None).malloc_trim(0) >= 0


def return_free_pages() -> None:
    """Once, what is free now, if it is much: holes between blocks add up over a step of many mini-batches.

    The system clears pages anew when they are asked for again: where memory is kept, little is not worth the time.
    """
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # musl has neither, glibc before 2.33 no mallinfo2
            libc = ctypes.CDLL(None)
            libc.mallinfo2.restype = _MallInfo
            if libc.mallinfo2().fordblks > (1024 if _kept else 64) * MEGABYTE:
                libc.malloc_trim(0)


class _MallInfo(ctypes.Structure):
    """What mallinfo2(3) returns; ``fordblks`` is the free bytes in the heap."""

    _fields_ = (("before", ctypes.c_size_t * 8), ("fordblks", ctypes.c_size_t), ("after", ctypes.c_size_t))


def _set(settings: dict[int, int]) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    return all(mallopt(parameter, value) == 1 for parameter, value in settings.items())
