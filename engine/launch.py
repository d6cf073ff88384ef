"""How this process was started: by itself, or by torchrun as one rank of several, as its environment tells."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

import torch
import torch.distributed.nn.functional  # noqa: F401  see _part
from torch import distributed
from torch.distributed import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from engine.finite import NotFiniteError
from engine.parallel import ALONE, World, lost_rank
from instagan.errors import InputError

PATIENCE = timedelta(minutes=30)
"""For how long a rank waits for another one: rank 0 may be busy with a large checkpoint on a slow disk."""


def rank() -> int:
    """This process's number, 0 where there is only one."""
    return int(os.environ["RANK"]) if _world_size() > 1 else 0


def ranks_here() -> int:
    """Ranks on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if _world_size() > 1 else 1


def place_here() -> int | None:
    """This rank's number among those of its machine, None where there is only one rank in all."""
    return int(os.environ.get("LOCAL_RANK", 0)) if _world_size() > 1 else None


@contextmanager
def joined() -> Iterator[World]:
    """The ranks that train together, connected for as long as the context lasts.

    All ranks must leave it alike: at the end, or by an ``InputError`` that they share (``World.raising_together``) or a
    ``NotFiniteError``, which all of them find.
    """
    size = _world_size()
    if size == 1:
        yield ALONE
        return
    world = World(rank(), size)
    nccl = torch.cuda.is_available() and distributed.is_nccl_available()
    with lost_rank():
        store, *_ = next(rendezvous("env://", timeout=PATIENCE))
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if nccl else "gloo",
            timeout=PATIENCE,
            world_size=size,
            rank=world.rank,
            store=_corner(store, world),
        )
    try:
        yield world
    except (InputError, NotFiniteError, SystemExit):
        _part(world)
        raise
    _part(world)  # not after another exception: it would wait for ranks that have gone


def by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def launch_name() -> str:
    """What all starts of this process by one torchrun, restarts included, have in common; empty without torchrun."""
    name = os.environ.get("TORCHELASTIC_RUN_ID", "")
    return f"{socket.gethostname()}:{os.getppid()}" if name == "none" else name  # "none" is what torchrun calls any


def restarted() -> bool:
    """Whether torchrun has started this process again after a failure."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0


def _corner(store: Store, world: World) -> Store:
    """A part of the store that the ranks of this start alone know.

    When torchrun starts ranks again it keeps its store, and the addresses in it lead to ranks that have gone. So each
    rank says hello with a word of its own, and rank 0 answers until all have told that they know the name of the part.
    """
    if not world.is_main:
        word = uuid4().hex
        store.set(f"hello/{world.rank}", word)
        name = store.get(f"welcome/{word}").decode()
        store.set(f"{name}/known/{world.rank}", "")
        return PrefixStore(name, store)
    name = uuid4().hex
    for other in range(1, world.size):
        while not store.check([f"{name}/known/{other}"]):
            store.set(f"welcome/{store.get(f'hello/{other}').decode()}", name)
            time.sleep(0.01)
    return PrefixStore(name, store)


def _part(world: World) -> None:
    """Ends the connection, and with it Gloo's threads: one that lives on at the end of Python aborts the process.

    They would live on if torch.distributed.nn, which torch imports in passing, were first imported by a connected
    process: the process group would be a default value of its functions, and never be let go.
    """
    world.add(torch.zeros(1))  # a rank that left earlier would break what others still exchange
    distributed.destroy_process_group()


def _world_size() -> int:
    """1 unless all is there that ranks need to find each other."""
    complete = all(name in os.environ for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"))
    return int(os.environ["WORLD_SIZE"]) if complete else 1
