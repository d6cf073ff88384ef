"""Random batches for the tests: pictures of noise with rectangles as instances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from engine.update import Losses, Pictures, SimultaneousTurns, Update
from instagan.structures.instances import OUTSIDE, InstanceBatch, UnpairedBatch

SIDE = 32


def random_batch(
    counts: Sequence[int],
    slots: int | None = None,
    seed: int = 0,
    side: int = SIDE,
    dtype: torch.dtype = torch.float32,
) -> InstanceBatch:
    """One row per count, with as many instances of different sizes at random places and slots."""
    random = torch.Generator().manual_seed(seed)
    slots = max(counts) if slots is None else slots
    image = torch.rand((len(counts), 3, side, side), generator=random) * 2 - 1
    masks = torch.full((len(counts), slots, side, side), -1.0)
    for row, count in enumerate(counts):
        for slot in torch.randperm(slots, generator=random)[:count].tolist():
            top, left = torch.randint(0, side // 2, (2,), generator=random).tolist()
            height, width = torch.randint(3, side // 2, (2,), generator=random).tolist()
            masks[row, slot, top : top + height, left : left + width] = 1.0
    return InstanceBatch.from_masks(image.to(dtype), masks.to(dtype))


def boxes_only(counts: Sequence[int], slots: int | None = None, seed: int = 0) -> InstanceBatch:
    """One row per count, of whose instances the data gave boxes alone: with sub-pixel edges, of different sizes."""
    drawn = random_batch(counts, slots, seed)
    random = torch.Generator().manual_seed(seed + 100)
    moved = drawn.boxes + torch.rand(drawn.boxes.shape, generator=random) * 0.4  # (B, N, 4)
    boxes = torch.where(drawn.present[:, :, None], moved, 0)
    return InstanceBatch(drawn.image, None, drawn.present, drawn.labels, given_boxes=boxes)


def every_field(counts: Sequence[int], slots: int | None = None, seed: int = 0) -> InstanceBatch:
    """One row per count, carrying all that a batch can carry, with different values in all present slots."""
    drawn, boxes = random_batch(counts, slots, seed), boxes_only(counts, slots, seed)
    random = torch.Generator().manual_seed(seed + 200)
    rows, slot_count = drawn.present.shape
    there = drawn.present.long()
    return InstanceBatch(
        drawn.image,
        drawn.masks,
        drawn.present,
        torch.randint(1, 9, there.shape, generator=random) * there,
        given_boxes=boxes.boxes,
        keypoints=torch.rand((rows, slot_count, 5, 3), generator=random) * there[:, :, None, None],
        targets=torch.randint(1, 9, there.shape, generator=random) * there,
        strengths=torch.rand(there.shape, generator=random) * there,
        ranks=torch.randint(1, 9, there.shape, generator=random) * there,
        given_attributes=torch.where(
            drawn.present[:, :, None, None, None],
            torch.rand((rows, slot_count, 2, SIDE, SIDE), generator=random) * 2 - 1,
            OUTSIDE,
        ),
    )


def with_attributes(batch: InstanceBatch, planes: int, seed: int = 0) -> InstanceBatch:
    """The same instances with so many drawn attribute planes each."""
    random = torch.Generator().manual_seed(seed + 300)
    drawn = torch.rand((*batch.masks.shape[:2], planes, *batch.image.shape[2:]), generator=random) * 2 - 1
    there = batch.present[:, :, None, None, None]
    return replace(batch, given_attributes=torch.where(there, drawn, OUTSIDE).to(batch.image.dtype))


def pair_of(a: InstanceBatch, b: InstanceBatch) -> UnpairedBatch:
    """Two domains, whose files are called a0, a1, ... and b0, b1, ..."""
    domains = {"A": a, "B": b}
    names = {letter: tuple(f"{letter.lower()}{row}" for row in range(len(batch))) for letter, batch in domains.items()}
    return UnpairedBatch(domains, names)


def rows_of(pair: UnpairedBatch, rows: slice) -> UnpairedBatch:
    """Some rows of all domains, with their files."""
    return UnpairedBatch(
        {letter: batch[rows] for letter, batch in pair.domains.items()},
        {letter: paths[rows] for letter, paths in pair.paths.items()},
    )


def random_pair(a: Sequence[int], b: Sequence[int], seed: int = 0, side: int = SIDE) -> UnpairedBatch:
    """Unpaired rows with the given numbers of instances."""
    first, second = random_batch(a, seed=seed, side=side), random_batch(b, seed=seed + 1, side=side)
    return pair_of(first, second)


def trained_on(model, *pairs: UnpairedBatch) -> tuple[Losses, dict[str, Pictures]]:
    """Losses and pictures of one training step of a single process."""
    update = Update(pairs, device=pairs[0]["A"].image.device if pairs else "cpu")
    model.training_step(update)
    return update.losses(), update.pictures


class WatchedUpdate(Update):
    """Calls ``after`` with the turns of each round, once they are taken."""

    def __init__(self, pairs: Sequence[UnpairedBatch], after: Callable[[SimultaneousTurns], None]) -> None:
        super().__init__(pairs)
        self.after = after

    def in_lockstep(self, ways, turns):
        for taken in super().in_lockstep(ways, turns):
            yield taken
            self.after(taken)


def losses_of_rounds(update: Update, phases: int = 2) -> list[Losses]:
    """The losses of every round, of a method that minimises so many objectives in each."""
    rounds = range(0, len(update.history), phases)
    return [{k: v for losses in update.history[start : start + phases] for k, v in losses.items()} for start in rounds]


def assert_same(one: InstanceBatch, other: InstanceBatch, tolerance: float = 0.0) -> None:
    """The same fields with the same shapes: equal where they are no floats, else within the tolerance."""
    mine, theirs = one.fields(), other.fields()
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=tolerance if tensor.is_floating_point() else 0)
