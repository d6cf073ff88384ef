"""One process of several that translate a data set together, as the environment of torchrun tells.

They share nothing but the folder of results: each translates its own pictures, and whoever finds that all is done
writes what belongs to all. So they may start at different times, and one that was killed is simply started again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from instagan.errors import InputError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Shard:
    """rank: this process's number among ``size``, from 0. place: its number among those of its machine."""

    rank: int = 0
    size: int = 1
    place: int = 0

    @classmethod
    def here(cls) -> Shard:
        """From RANK, WORLD_SIZE and LOCAL_RANK. Raises ``InputError`` where they make no sense."""
        told = {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
        if told["WORLD_SIZE"] is None:
            return cls()
        try:
            rank, size = int(told["RANK"] or ""), int(told["WORLD_SIZE"])
            place = rank if told["LOCAL_RANK"] is None else int(told["LOCAL_RANK"])
            if not 0 <= rank < size or place < 0:
                raise ValueError
        except ValueError:
            given = ", ".join(f"{name}={value}" for name, value in told.items() if value is not None)
            raise InputError(
                f"the environment says {given}, which is no process of several; start with torchrun, or unset them"
            ) from None
        return cls(rank, size, place)

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """Every ``size``-th, so that all have as much to do where pictures differ from folder to folder."""
        return items[self.rank :: self.size]

    def device(self, asked: str | None) -> str | None:
        """A GPU of its own where there are several processes, else what was asked for."""
        if self.size > 1 and asked in (None, "cuda") and torch.cuda.is_available():
            return f"cuda:{self.place}"
        return asked

    @property
    def told(self) -> str:
        """For messages: nothing where there is one process."""
        return "" if self.size == 1 else f"process {self.rank + 1} of {self.size}"
