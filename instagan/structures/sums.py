"""Sums over all rows of an update, for layers that look at more than their own row: batch norm.

Who trains says for a while how values are added up (``summed_by``), and such layers ask for it (``current_sum``).
Nobody says anything outside of training, or in a process that trains alone: then a layer has all rows at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor

Sum = Callable[[Tensor], Tensor]
"""A tensor of this process -> the sum over all processes, with gradients. All must call it, equally often."""
_sums: list[Sum | None] = []


def current_sum() -> Sum | None:
    """How values are added up over all processes; None: this one has all rows."""
    return _sums[-1] if _sums else None


@contextmanager
def summed_by(way: Sum | None) -> Iterator[None]:
    """Within it values are added up this way."""
    _sums.append(way)
    try:
        yield
    finally:
        _sums.pop()
