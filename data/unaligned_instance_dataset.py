"""index -> one sample of each domain, as a pure function of (seed, epoch, index)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.folders import Entry
from data.pictures import mask_to_tensor, to_tensor
from data.placement import Framing
from data.reading import read_mask, read_picture
from instagan.errors import InputError

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
    """Draws one placement and applies it to the picture and to all its masks. Raises ``InputError`` naming the file."""
    picture = read_picture(entry.picture)
    placement = framing.draw(picture.size, random, str(entry.picture))
    masks = []
    for path in entry.masks:
        mask = read_mask(path)
        if mask.size != picture.size:
            raise InputError(
                f"{path} is {mask.width}x{mask.height} but its picture {entry.picture.name} is "
                f"{picture.width}x{picture.height}; masks must have the size of their picture"
            )
        masks.append(mask_to_tensor(np.asarray(placement.mask(mask)) > 0))  # (H, W)
    image = to_tensor(placement.picture(picture))  # (3, H, W)
    stacked = torch.stack(masks) if masks else image.new_zeros((0, *image.shape[1:]))  # (n, H, W)
    return Sample(image, stacked, torch.zeros(len(masks), dtype=torch.long), str(entry.picture))


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
    picture i of B; slots are in random order. An epoch is as long as the larger domain, at most ``max_size``."""

    def __init__(
        self, a: list[Entry], b: list[Entry], framing: Framing, seed: int, serial: bool, max_size: float = float("inf")
    ) -> None:
        self.a, self.b, self.framing = a, b, framing
        self.seed, self.serial, self.max_size = seed, serial, max_size

    def __len__(self) -> int:
        return int(min(max(len(self.a), len(self.b)), self.max_size))

    def __getitem__(self, key: Key) -> tuple[Sample, Sample]:
        epoch, index = key
        random = np.random.default_rng((self.seed, epoch, index))
        of_b = index if self.serial else int(random.integers(len(self.b)))
        a, b = self.a[index % len(self.a)], self.b[of_b % len(self.b)]
        return self._shuffle(read_sample(a, self.framing, random), random), self._shuffle(
            read_sample(b, self.framing, random), random
        )

    def _shuffle(self, sample: Sample, random: np.random.Generator) -> Sample:
        order = torch.from_numpy(random.permutation(len(sample.labels)))
        return Sample(sample.image, sample.masks[order], sample.labels[order], sample.path)


class EpochSampler:
    """Batches of keys for a DataLoader: epoch ``epoch`` from its batch number ``start`` on.

    The order is drawn from (seed, epoch) alone; set ``epoch`` and ``start`` before iterating.
    """

    def __init__(self, size: int, batch_size: int, seed: int, serial: bool) -> None:
        self.size, self.batch_size, self.seed, self.serial = size, batch_size, seed, serial
        self.epoch, self.start = 1, 0

    def __len__(self) -> int:
        """Batches in a whole epoch; the last one may be smaller."""
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        random = np.random.default_rng((self.seed, self.epoch))
        order = range(self.size) if self.serial else random.permutation(self.size).tolist()
        for batch in range(self.start, len(self)):
            chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield [(self.epoch, index) for index in chosen]
