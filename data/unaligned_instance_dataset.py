"""index -> one sample of each domain, as a pure function of (seed, epoch, index)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.decoded import Decoded, Read, decode, naming, read_both, read_whole
from data.entries import Entry
from data.placement import Framing, Placement, Size, resize_inside
from instagan.errors import InputError
from instagan.io.pixels import mask_to_tensor, pixels_to_tensor
from instagan.structures.boxes import area, boxes_of_masks, rasterise

TRIES = 100
"""Pictures that may stand in, one after the other, for one that cannot be read."""
Key = tuple[int, int]
"""Epoch (from 1) and index: together with the seed all that a sample depends on."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture: image (C, H, W) in [-1, 1], masks (n, H, W) in {-1, 1}, category labels (n,), where it came from.

    masks    None where the data gives boxes alone, or ``Framing.boxes_only`` asks for that
    boxes    (n, 4) in pixels of the image, where the data gives one, or ``Framing`` looks at them; of an instance that
             is left out, 0
    keypoints  (n, K, 3) x, y in pixels of the image, and visibility, where ``Framing`` looks at them
    parts    (n, L, H, W) in {-1, 1}, where ``Framing`` looks at them; a mask is then all of them together
    skipped  sentences on pictures that it stands in for, which could not be read
    deep     whether its values are no levels of 8 bits
    """

    image: Tensor
    masks: Tensor | None
    labels: Tensor
    path: str
    skipped: tuple[str, ...] = ()
    boxes: Tensor | None = None
    keypoints: Tensor | None = None
    parts: Tensor | None = None
    deep: bool = False


class Noise(Protocol):
    """What damages the masks of a sample: ``data.mask_noise``."""

    def on(self, sample: Sample, random: np.random.Generator) -> Sample: ...


def read_sample(entry: Entry, framing: Framing, random: np.random.Generator) -> Sample:
    """Reads an entry and places it, masks in the entry's order. Raises ``InputError`` naming the file."""
    return place(entry, decode(entry, framing), framing, random, shuffled=False)


def place(entry: Entry, decoded: Decoded, framing: Framing, random: np.random.Generator, shuffled: bool) -> Sample:
    """Draws one placement and applies it to the picture and to all its instances, which come in the entry's order or,
    with ``shuffled``, in one that is drawn, too. Raises ``InputError`` naming the file."""
    count, chosen, box = len(entry.masks), None, None
    if framing.around_instances:
        decoded = replace(decoded, masks=list(decoded.masks))  # looked at twice
        chosen, box = _choose(entry, decoded, framing, random)
    placement = framing.draw(decoded.size, random, str(entry.picture), box)
    image = pixels_to_tensor(placement.pixels(decoded.picture))  # (C, H, W)
    deep = decoded.picture.dtype != np.uint8
    order = random.permutation(count) if shuffled else np.arange(count)
    if chosen is not None:
        order = np.concatenate([[chosen], order[order != chosen]])
    labels = torch.tensor([entry.masks[number].label for number in order], dtype=torch.long)  # (n,)
    keypoints = _keypoints(entry, placement, decoded.size, order, framing.keypoints)
    if framing.boxes_only or any(mask.box or framing.looks_at_boxes for mask in entry.masks):
        masks, boxes = _with_boxes(entry, decoded, placement, order, framing)
        return Sample(image, masks, labels, str(entry.picture), boxes=boxes, keypoints=keypoints, deep=deep)
    of_each = framing.parts or 1
    inside = np.empty((count * of_each, *image.shape[1:]), bool)  # (n L, H, W)
    places = order.argsort()[:, None] * of_each + np.arange(of_each)  # (n, L)
    for place, mask in zip(places.flatten(), decoded.masks, strict=True):
        inside[place] = placement.inside(mask)
    parts = None
    if framing.parts:
        of_parts = inside.reshape(count, of_each, *image.shape[1:])  # (n, L, H, W)
        inside, parts = of_parts.any(1), mask_to_tensor(of_parts)
    shown = mask_to_tensor(inside)
    return Sample(image, shown, labels, str(entry.picture), keypoints=keypoints, parts=parts, deep=deep)


def _keypoints(entry: Entry, placement: Placement, size: Size, order: np.ndarray, count: int) -> Tensor | None:
    """(n, K, 3) of the instances in their order, K = ``count``; None where nobody looks at them."""
    if not count:
        return None
    placed = torch.zeros(len(order), count, 3)
    for slot, number in enumerate(order):
        if points := entry.masks[number].keypoints:
            placed[slot] = points.placed(placement, size, count)
    return placed


def _choose(
    entry: Entry, decoded: Decoded, framing: Framing, random: np.random.Generator
) -> tuple[int | None, list[float] | None]:
    """One of the instances that the picture shows, by its place, and its box in pixels of the resized picture."""
    size = framing.resized(decoded.size)
    boxes = _boxes(entry, decoded, size)  # (n, 4)
    there = area(boxes).nonzero()[:, 0].tolist()
    if not there:
        return None, None
    chosen = there[int(random.integers(len(there)))]
    return chosen, boxes[chosen].tolist()


def _boxes(entry: Entry, decoded: Decoded, size: Size) -> Tensor:
    """(n, 4) in pixels of the picture resized to ``size``; 0 where a mask is empty."""
    whole, drawn = Placement(size, (0, 0, *size), flip=False), iter(decoded.masks)
    boxes = [
        whole.boxes(torch.tensor(mask.box), decoded.size)[0]
        if mask.box
        else boxes_of_masks(torch.from_numpy(resize_inside(next(drawn), size)))
        for mask in entry.masks
    ]
    return torch.stack(boxes) if boxes else torch.zeros(0, 4)


def _with_boxes(
    entry: Entry, decoded: Decoded, placement: Placement, order: np.ndarray, framing: Framing
) -> tuple[Tensor | None, Tensor]:
    """The masks (n, H, W) of a picture some of whose instances have boxes alone, None if all of them do or boxes are
    enough, and the boxes (n, 4) of all. Rectangles stand for masks that are missing; an instance that is left out has
    neither."""
    drawn = iter(decoded.masks)
    rows: list[tuple[Tensor, Tensor, Tensor | None]] = []  # box, share that is left, mask
    for mask in entry.masks:
        if mask.box:
            rows.append((*placement.boxes(torch.tensor(mask.box), decoded.size), None))
        else:
            whole = torch.from_numpy(resize_inside(next(drawn), placement.resize))  # the same from any cache
            inside = torch.from_numpy(placement.inside(whole.numpy()).copy())  # (H, W)
            box, share = placement.boxes(boxes_of_masks(whole), placement.resize)
            rows.append((box, share * inside.any(), inside))
    rows = [rows[number] for number in order]
    boxes = torch.stack([box for box, _, _ in rows]) if rows else torch.zeros(0, 4)  # (n, 4)
    share = torch.stack([of_one for _, of_one, _ in rows]) if rows else torch.zeros(0)  # (n,)
    kept = framing.kept(boxes, share, placement)  # (n,)
    boxes = torch.where(kept[:, None], boxes, 0)
    if framing.boxes_only or all(inside is None for _, _, inside in rows):
        return None, boxes
    width, height = placement.size
    shown = rasterise(boxes, height, width)  # (n, H, W)
    for slot, (_, _, inside) in enumerate(rows):
        if inside is not None:
            shown[slot] = inside & kept[slot]
    return mask_to_tensor(shown.numpy()), boxes


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

    A picture that cannot be read, or one of whose masks cannot, raises ``InputError``; with ``skip_bad`` the next one
    of its domain that can be read stands in for it: the same one as long as the same files are bad.

    noise damages the masks, by random numbers of its own, so that all else of a sample is as it is without.

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
        skip_bad: bool = False,
        noise: Noise | None = None,
    ) -> None:
        self.a, self.b, self.framing, self.read, self.threads, self.noise = a, b, framing, read, threads, noise
        self.seed, self.serial, self.max_size, self.skip_bad = seed, serial, max_size, skip_bad

    def __len__(self) -> int:
        return int(min(max(len(self.a), len(self.b)), self.max_size))

    def __getitem__(self, key: Key) -> tuple[Sample, Sample]:
        of_a, of_b = self._undamaged(key)
        if self.noise is None:
            return of_a, of_b
        random = np.random.default_rng((self.seed, *key, 2))  # 0 and 1 are those of images that stand in for others
        return self.noise.on(of_a, random), self.noise.on(of_b, random)

    def _undamaged(self, key: Key) -> tuple[Sample, Sample]:
        epoch, index = key
        random = np.random.default_rng((self.seed, epoch, index))
        partner = index if self.serial else int(random.integers(len(self.b)))
        a, b = self.a[index % len(self.a)], self.b[partner % len(self.b)]
        try:
            of_a, of_b = read_both(self.read, a, b, self.framing, self.threads)
            return self._placed(a, of_a, random), self._placed(b, of_b, random)
        except InputError:
            if not self.skip_bad:
                raise
        return self._readable(self.a, index, (*key, 0)), self._readable(self.b, partner, (*key, 1))

    def _placed(self, entry: Entry, decoded: Decoded, random: np.random.Generator) -> Sample:
        with naming(entry):
            return place(entry, decoded, self.framing, random, shuffled=True)

    def _readable(self, entries: list[Entry], index: int, key: tuple[int, ...]) -> Sample:
        """The first from there on, round and round, that can be read."""
        skipped: list[str] = []
        for number in range(index, index + min(TRIES, len(entries))):
            entry = entries[number % len(entries)]
            try:
                random = np.random.default_rng((self.seed, *key))
                sample = self._placed(entry, read_whole(self.read, entry, self.framing), random)
                return replace(sample, skipped=tuple(skipped))
            except InputError as error:
                skipped.append(str(error))
        raise InputError(f"{skipped[0]} (and {len(skipped) - 1} more after it cannot be read either)")


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
