"""How far it is, where tqdm is installed; nothing is shown elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

Item = TypeVar("Item")


def progress(items: Iterable[Item], total: int, unit: str = "picture") -> Iterable[Item]:
    """The items, with a bar on stderr if there is more than one and somebody may be looking."""
    if total < 2:
        return items
    try:
        from tqdm import tqdm
    except ImportError:
        return items
    every = 0.5 if sys.stderr.isatty() else 30  # seconds; a log is not to be flooded
    bar: Iterable[Item] = tqdm(items, total=total, leave=False, unit=unit, mininterval=every, delay=1)
    return bar
