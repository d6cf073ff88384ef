"""The updates of an epoch: what every rank reads, agreed upon before each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext

from engine.parallel import World
from engine.schedule import Progress
from engine.update import Update
from instagan.errors import InputError
from instagan.structures.instances import UnpairedBatch


def updates(
    world: World,
    steps: Iterable[Sequence[UnpairedBatch]],
    wish: Callable[[], int],
    skipped: Callable[[list[str]], None] | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> Iterator[Update]:
    """One update for each step, with this rank's batches on the CPU; the ranks talk once before each.

    steps: as many on every rank, each of some batches, or none. wish: the number of a signal that asks for an end, 0
    for none, plus bits for other wishes. skipped: is told on all ranks what pictures any of them could not read, and
    may raise. progress: where the run stands before the first. Raises on all ranks the ``InputError`` that one meets
    on reading.
    """
    remaining, progress = iter(steps), progress or Progress()
    while True:
        problem: InputError | None = None
        pairs: Sequence[UnpairedBatch] | None = ()
        try:
            pairs = next(remaining, None)
        except InputError as error:
            problem = error
        if pairs is None:
            return
        unread = [sentence for pair in pairs for sentence in pair.skipped]
        told = world.all_gather_object((wish(), problem is not None, unread, list(map(len, pairs))))
        wishes, problems, unread_anywhere, row_counts = zip(*told, strict=True)
        with world.raising_together() if any(problems) else nullcontext():
            if problem:
                raise problem
        if skipped and any(unread_anywhere):
            skipped([sentence for of_rank in unread_anywhere for sentence in of_rank])
        update = Update(
            pairs, world=world, row_counts=row_counts, progress=progress, seed=seed, requests=max(wishes)
        )
        yield update
        progress = progress.after_batch(update.pair_count)
