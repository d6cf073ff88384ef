"""Settings of glibc's malloc that keep freed memory with the process, for training on a CPU.

By default malloc returns large blocks to the system, and the next operation asks for them again. The system clears
every page anew, which takes a tenth of a training step.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -2, -3, -4, -8
"""Parameters of mallopt(3)."""
MEGABYTE = 2**20

_kept = False
"""Whether ``keep_memory`` has been called without ``little``."""
_first_resident: int | None = 0
"""Pages that were resident after the first mini-batch since free ones went back; None until then."""


def keep_memory(little: bool = False) -> bool:
    """Sets malloc to keep freed memory; returns whether it did.

    little: keep at most 256 MiB, and no block above 32 MiB. Does nothing where malloc is not glibc's, or where the
    user has configured it in the environment.
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
    """Returns free memory to the system if there is much of it; to be called after a mini-batch.

    Holes between blocks add up from one mini-batch to the next. But pages that are asked for again are cleared anew,
    which takes a twentieth of a step at paper size. Where memory is kept, it is therefore returned only when the
    process has grown by 2% since the first mini-batch after the last return. The very first mini-batch is followed by
    one, because its gradients and the optimizer's state lie between other blocks.
    """
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # musl has neither, glibc before 2.33 no mallinfo2
            libc = _libc()
            free = libc.mallinfo2().fordblks
            if free > 1024 * MEGABYTE and _has_grown() if _kept else free > 64 * MEGABYTE:
                libc.malloc_trim(0)


def _has_grown() -> bool:
    global _first_resident
    _, resident, of_files, *_ = map(int, Path("/proc/self/statm").read_text().split())
    resident -= of_files  # libraries' pages come and go with what else the machine does
    grown = _first_resident is not None and resident > 1.02 * _first_resident
    if grown or _first_resident is None:
        _first_resident = None if grown else resident
    return grown


@cache
def _libc() -> ctypes.CDLL:
    """Loaded once: every CDLL is a class of its own, in a cycle that only a full garbage collection finds."""
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = _MallInfo
    return libc


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
