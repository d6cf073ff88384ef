"""index -> one sample of each domain, as a pure function of (seed, epoch, index)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.decoded import Decoded, Read, decode, read_both
from data.entries import Entry
from data.pictures import mask_to_tensor, pixels_to_tensor
from data.placement import Framing

Key = tuple[int, int]
"""Epoch (from 1) and index: together with the seed all that a sample depends on."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture: image (3, H, W) in [-1, 1], masks (n, H, W) in {-1, 1}, category labels (n,), where it came from."""

    image: Tensor
    masks: Tensor
    labels: Tensor
    path: str


def read_sample(entry: Entry, framing: Framing, random: np.random.Generator) -> Sample:
    """Reads an entry and places it, masks in the entry's order. Raises ``InputError`` naming the file."""
    return place(entry, decode(entry, framing), framing, random, shuffled=False)


def place(entry: Entry, decoded: Decoded, framing: Framing, random: np.random.Generator, shuffled: bool) -> Sample:
    """Draws one placement and applies it to the picture and to all its masks, which come in the entry's order or, with
    ``shuffled``, in one that is drawn, too. Raises ``InputError`` naming the file."""
    placement = framing.draw(decoded.size, random, str(entry.picture))
    image = pixels_to_tensor(placement.pixels(decoded.picture))  # (3, H, W)
    count = len(entry.masks)
    order = random.permutation(count) if shuffled else np.arange(count)
    inside = np.empty((count, *image.shape[1:]), bool)  # (n, H, W)
    for slot, mask in zip(order.argsort(), decoded.masks, strict=True):
        inside[slot] = placement.inside(mask)
    labels = torch.tensor([entry.masks[number].label for number in order], dtype=torch.long)  # (n,)
    return Sample(image, mask_to_tensor(inside), labels, str(entry.picture))


class DomainDataset(Dataset[Sample]):
    """The pictures of one domain, in order, with central crops: what test.py reads. Keys are plain indices."""

    def __init__(self, entries: list[Entry], framing: Framing) -> None:
        self.entries, self.framing = entries, framing

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:
        return read_sample(self.entries[index], self.framing, np.random.default_rng(0))


class UnalignedInstanceDataset(Dataset[tuple[Sample, Sample]]):
    """Two unpaired domains. Index i takes picture i of A (round and round) and a random one of B, or with ``serial``
    picture i of B; slots are in random order. An epoch is as long as the larger domain, at most ``max_size``.

    A process that reads by itself decodes both pictures of a pair at once with two ``threads``, if it has the cores.
    """

    def __init__(
        self,
        a: list[Entry],
        b: list[Entry],
        framing: Framing,
        seed: int,
        serial: bool,
        max_size: float = float("inf"),
        read: Read = decode,
        threads: int = 2,
    ) -> None:
        self.a, self.b, self.framing, self.read, self.threads = a, b, framing, read, threads
        self.seed, self.serial, self.max_size = seed, serial, max_size

    def __len__(self) -> int:
        return int(min(max(len(self.a), len(self.b)), self.max_size))

    def __getitem__(self, key: Key) -> tuple[Sample, Sample]:
        epoch, index = key
        random = np.random.default_rng((self.seed, epoch, index))
        partner = index if self.serial else int(random.integers(len(self.b)))
        a, b = self.a[index % len(self.a)], self.b[partner % len(self.b)]
        of_a, of_b = read_both(self.read, a, b, self.framing, self.threads)
        return place(a, of_a, self.framing, random, shuffled=True), place(b, of_b, self.framing, random, shuffled=True)


class EpochSampler:
    """One rank's batches of keys for a DataLoader: epoch ``epoch`` from where ``done`` pictures of it are done.

    The order is drawn from (seed, epoch) alone; set ``epoch`` and ``done`` before iterating. In it the batches of ranks
    follow each other in each step; the last step is dealt out evenly, the first ranks having one picture more.
    """

    def __init__(
        self, size: int, batch_size: int, seed: int, serial: bool, accumulate: int = 1, rank: int = 0, ranks: int = 1
    ) -> None:
        self.size, self.batch_size, self.seed, self.serial = size, batch_size, seed, serial
        self.rank, self.ranks, self.step_size = rank, ranks, ranks * accumulate * batch_size
        self.epoch, self.done = 1, 0

    def __len__(self) -> int:
        """Training steps in a whole epoch; the last one may be smaller."""
        return -(-self.size // self.step_size)

    def steps(self) -> Iterator[list[range]]:
        """Of each step still to come, where in the epoch's order this rank's batches are: the last may have none."""
        for first in range(self.done, self.size, self.step_size):
            even, more = divmod(min(self.step_size, self.size - first), self.ranks)
            start = first + self.rank * even + min(self.rank, more)
            stop = start + even + (self.rank < more)
            yield [range(at, min(at + self.batch_size, stop)) for at in range(start, stop, self.batch_size)]

    def __iter__(self) -> Iterator[list[Key]]:
        random = np.random.default_rng((self.seed, self.epoch))
        order = range(self.size) if self.serial else random.permutation(self.size).tolist()
        for step in self.steps():
            yield from ([(self.epoch, order[place]) for place in batch] for batch in step)
