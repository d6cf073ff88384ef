"""How a program says why it ends before it is done: exit code and sentence."""

from __future__ import annotations

from engine.finite import NotFiniteError
from engine.launch import rank
from engine.parallel import LostRankError
from instagan.errors import InputError

ENDINGS = (InputError, NotFiniteError, LostRankError, KeyboardInterrupt)


def ending(error: BaseException) -> tuple[int, str]:
    """Exit code and sentence for one of ``ENDINGS``; no sentence where rank 0 says it for all."""
    if isinstance(error, LostRankError):
        return 1, f"rank {rank()} ends, because another rank has ended ({error})"
    if isinstance(error, KeyboardInterrupt):  # a second signal, or one before the first step
        return 130, "interrupted at once; what was saved before is there"
    return 2 if isinstance(error, InputError) else 1, "" if rank() else str(error)
