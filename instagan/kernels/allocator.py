"""Memory that a CPU gives back is asked for again in the next moment: glibc is told to keep it.

By default it returns large blocks to the system, which clears every page anew: a tenth of a training step.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -2, -3, -4, -8
"""Parameters of mallopt(3)."""
MEGABYTE = 2**20

_kept = False
"""Whether ``keep_memory`` is in force, and not for little."""
_first_resident: int | None = 0
"""Pages that were resident after the first mini-batch since free ones went back; None until then."""


def keep_memory(little: bool = False) -> bool:
    """Freed memory stays with the process, all of it or ``little``: no block above 32 MiB and 256 MiB in a piece.

    False, and nothing is done, where malloc is another one or configured.
    """
    global _kept
    settings = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1, ARENA_MAX: 1, TOP_PAD: 16 * MEGABYTE}
    if little:
        settings = {MMAP_THRESHOLD: 32 * MEGABYTE, TRIM_THRESHOLD: 256 * MEGABYTE}
    configured = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    done = not configured and _set(settings)
    _kept = done and not little
    return done


def return_free_pages() -> None:
    """After a mini-batch: what is free goes back if it is much, because holes between blocks add up.

    The system clears pages anew when they are asked for again, which is a twentieth of a step at paper size. Where
    memory is kept this is therefore done once the process has grown by 2% since the first mini-batch after the last
    time; that is so after the very first one, whose gradients and optimizer state came to lie between other blocks.
    """
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # musl has neither, glibc before 2.33 no mallinfo2
            libc = ctypes.CDLL(None)
            libc.mallinfo2.restype = _MallInfo
            free = libc.mallinfo2().fordblks
            if free > 1024 * MEGABYTE and _has_grown() if _kept else free > 64 * MEGABYTE:
                libc.malloc_trim(0)


def _has_grown() -> bool:
    global _first_resident
    resident = int(Path("/proc/self/statm").read_text().split()[1])
    grown = _first_resident is not None and resident > 1.02 * _first_resident
    if grown or _first_resident is None:
        _first_resident = None if grown else resident
    return grown


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
