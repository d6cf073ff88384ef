"""How a program says why it ends before it is done: exit code and sentence."""

from __future__ import annotations

from collections.abc import Callable

from engine.finite import NotFiniteError
from engine.launch import rank
from engine.parallel import LostRankError
from instagan.errors import InputError, raise_unless_too_long

ENDINGS = (InputError, NotFiniteError, LostRankError, KeyboardInterrupt, OSError)


def ending(program: str, error: BaseException, tell: Callable[[str], object]) -> int:
    """Exit code of a program for one of ``ENDINGS``. tell: is given its sentence, unless rank 0 says it for all. An
    ``OSError`` is raised again unless it is about a path that is too long."""
    if isinstance(error, OSError):
        error = raise_unless_too_long(error)
    if isinstance(error, LostRankError):
        tell(f"{program}: rank {rank()} ends, because another rank has ended ({error})\n")
        return 1
    if isinstance(error, KeyboardInterrupt):  # a second signal, or one before the first step
        tell(f"{program}: interrupted at once; what was saved before is there\n")
        return 130
    if not rank():
        tell(f"{program}: {error}\n")
    return 2 if isinstance(error, InputError) else 1
