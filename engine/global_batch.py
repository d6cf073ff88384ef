"""What all ranks, and all batches of an update, hold together: by it losses are weighted and fakes are exchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.parallel import ALONE, World
from instagan.errors import InputError
from instagan.structures.image_pool import ImagePool
from instagan.structures.instances import InstanceBatch, UnpairedBatch

NO_ROW = -1
Shape = tuple[int, int, int, int]
"""Rows, slots, height and width of a batch."""


@dataclass(frozen=True, eq=False)
class GlobalBatch:
    """The rows of one training step on W ranks with K batches of at most R rows each; the same on every rank.

    facts (W, K, R, 2, 3) long on the CPU: of each row, in domain A and in B, the number of instances (``NO_ROW`` where
    there is no such row), height and width. An update of W x K batches is that of one batch with all of their rows:
    losses are means over the rows in play, so each batch's are weighted by its ``share`` in those rows and their
    gradients are added. Rows have an order: that of rank, then batch, then row.
    """

    world: World
    facts: Tensor
    stop: int = 0
    """The largest of the ranks' wishes: the number of a signal, 0 for none, plus bits for other wishes."""

    @classmethod
    def of(cls, pairs: Sequence[UnpairedBatch]) -> GlobalBatch:
        """The batches of a single process."""
        return cls(ALONE, _facts(pairs, len(pairs), max(map(len, pairs), default=0))[None])

    @property
    def pictures(self) -> int:
        """Pairs of pictures on all ranks."""
        return int(self.rows("A").sum())

    def most_instances(self, domain: str) -> int:
        """Of any picture; 0 where there is no picture."""
        return max([0, *self._of(domain)[..., 0].flatten().tolist()])

    def rows(self, domain: str, beyond: int = NO_ROW) -> Tensor:
        """(W, K) long: how many rows there are; with ``beyond``, how many with more instances than that."""
        return (self._of(domain)[..., 0] > beyond).sum(-1)

    def share(self, domain: str, batch: int, beyond: int = NO_ROW) -> float:
        """The part in [0, 1] that this rank's batch has in those rows."""
        rows = self.rows(domain, beyond)
        return int(rows[self.world.rank, batch]) / int(rows.sum())

    def shown(
        self,
        pool: ImagePool,
        fakes: Sequence[InstanceBatch],
        like: Tensor,
        domain: str,
        slots: int,
        most: int,
        beyond: int = NO_ROW,
    ) -> list[InstanceBatch]:
        """What the discriminator is shown for the fakes of those rows: one batch for each of this rank's that has some.

        Every rank's pool is shown the fakes of all ranks in the order of their rows, and draws alike: it is the pool of
        the single process. slots: of every fake, of which the first hold the row's instances, at most ``most`` of them;
        like: a tensor of the device and type in which fakes travel.
        """
        if self.world.size == 1:
            return [pool.query(fake) for fake in fakes]
        if pool.size == 0:
            return [fake.detach() for fake in fakes]
        shapes = self._shapes(domain, slots, beyond)
        values = self.world.gather(_packed(fakes, like), [sum(map(_length, of_rank)) for of_rank in shapes])
        present = self._present(domain, slots, most, beyond)
        shown = [
            [pool.query(fake) for fake in _unpacked(*of_rank)] for of_rank in zip(values, shapes, present, strict=True)
        ]
        return shown[self.world.rank]

    def _of(self, domain: str) -> Tensor:
        return self.facts[..., "AB".index(domain), :]  # (W, K, R, 3)

    def _present(self, domain: str, slots: int, most: int, beyond: int) -> list[list[Tensor]]:
        """Of the fakes of every rank, (rows, slots) bool each: no rank need be told, or wait for a device to tell."""
        counts = self._of(domain)[..., 0]  # (W, K, R)
        there = torch.arange(slots) < counts.clamp(max=most)[..., None]  # (W, K, R, slots)
        return [
            [batch[rows > beyond] for batch, rows in zip(*of_rank, strict=True) if (rows > beyond).any()]
            for of_rank in zip(there, counts, strict=True)
        ]

    def _shapes(self, domain: str, slots: int, beyond: int) -> list[list[Shape]]:
        """Of the fakes of every rank."""
        rows, sizes = (
            self.rows(domain, beyond).tolist(),
            self._of(domain)[:, :, 0, 1:].tolist(),
        )  # rows of a batch agree
        return [
            [(count, slots, *size) for count, size in zip(*of_rank, strict=True) if count]
            for of_rank in zip(rows, sizes, strict=True)
        ]


def rounds(
    world: World,
    steps: Iterable[Sequence[UnpairedBatch]],
    batches: int,
    rows: int,
    wish: Callable[[], int],
    skipped: Callable[[list[str]], None] | None = None,
) -> Iterator[tuple[Sequence[UnpairedBatch], GlobalBatch]]:
    """This rank's batches of each step, on the CPU, with what all ranks have, agreed upon in one small collective.

    steps: as many on every rank, each of at most so many batches of at most so many rows, or none. wish: the number of
    a signal that asks for an end, or 0. skipped: is told on all ranks what pictures any of them could not read, and
    may raise. Raises on all ranks the ``InputError`` that one meets on reading.
    """
    remaining = iter(steps)
    while True:
        problem: InputError | None = None
        pairs: Sequence[UnpairedBatch] | None = ()
        try:
            pairs = next(remaining, None)
        except InputError as error:
            problem = error
        if pairs is None:
            return
        facts = _facts(pairs, batches, rows)
        unread = [sentence for pair in pairs for sentence in pair.skipped]
        mine = torch.cat((torch.tensor([wish(), problem is not None, len(unread)]), facts.flatten()))
        all_ranks = world.everyone(mine)  # (W, 3 + K R 2 3)
        with world.unison() if all_ranks[:, 1].any() else nullcontext():
            if problem:
                raise problem
        if skipped and all_ranks[:, 2].any():
            skipped([sentence for of_rank in world.tell_all(unread) for sentence in of_rank])
        yield pairs, GlobalBatch(world, all_ranks[:, 3:].view(-1, *facts.shape), int(all_ranks[:, 0].max()))


def _facts(pairs: Sequence[UnpairedBatch], batches: int, rows: int) -> Tensor:
    """(K, R, 2, 3) long, see ``GlobalBatch``."""
    facts = torch.full((batches, rows, 2, 3), NO_ROW)
    for batch, pair in enumerate(pairs):
        for domain, side in enumerate((pair.a, pair.b)):
            facts[batch, : len(side), domain, 0] = side.present.sum(1).cpu()
            facts[batch, : len(side), domain, 1:] = torch.tensor(side.image.shape[2:])
    return facts


def _length(shape: Shape) -> int:
    rows, slots, height, width = shape
    return rows * ((3 + slots) * height * width + slots)


def _packed(fakes: Sequence[InstanceBatch], like: Tensor) -> Tensor:
    """What the batches hold on their device, as flat values. Every float type can hold labels."""
    parts = [tensor.detach().to(like).flatten() for fake in fakes for tensor in (fake.image, fake.masks, fake.labels)]
    return torch.cat([like.new_empty(0), *parts])


def _unpacked(values: Tensor, shapes: Sequence[Shape], present: Sequence[Tensor]) -> list[InstanceBatch]:
    fakes = []
    parts = values.split([_length(shape) for shape in shapes])
    for shape, part, there in zip(shapes, parts, present, strict=True):
        rows, slots, height, width = shape
        image, masks, labels = part.split([rows * size for size in (3 * height * width, slots * height * width, slots)])
        fakes.append(
            InstanceBatch(
                image.view(rows, 3, height, width),
                masks.view(rows, slots, height, width),
                there,
                labels.view(rows, slots).long(),
            )
        )
    return fakes
