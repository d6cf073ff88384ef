"""One image pool for all ranks: each rank keeps the same one, and shows it the fakes of all ranks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.parallel import World
from instagan.structures.image_pool import ImagePool
from instagan.structures.instances import InstanceBatch

TRAVELLING = ("image", "masks", "labels")
"""What a fake holds on its device; ``present`` is known to the host, and is told."""


def show_pool(
    pool: ImagePool, fakes: Sequence[InstanceBatch], world: World, device: torch.device
) -> list[InstanceBatch]:
    """What the discriminator is to see for this rank's fakes: a batch for each, of new and earlier ones, detached.

    Every rank's pool is shown the fakes of all ranks in the order of their rows, and draws alike.
    """
    if world.size == 1:
        return [pool.query(fake) for fake in fakes]
    if pool.size == 0:
        return [fake.detach() for fake in fakes]
    shapes = [({name: tuple(getattr(fake, name).shape) for name in TRAVELLING}, fake.present) for fake in fakes]
    told = world.all_gather_object((shapes, fakes[0].image.dtype if fakes else None))
    dtype = next(dtype for _, dtype in told if dtype is not None)
    parts = [getattr(fake, name).detach().to(dtype).flatten() for fake in fakes for name in TRAVELLING]
    mine = torch.cat([torch.empty(0, dtype=dtype, device=device), *parts])
    lengths = [sum(_size(shape) for shape, _ in of_rank) for of_rank, _ in told]
    shown = []
    for values, (of_rank, _) in zip(world.gather(mine, lengths), told, strict=True):
        batches = zip(values.split([_size(shape) for shape, _ in of_rank]), of_rank, strict=True)
        shown.append([pool.query(_unpacked(part, shape, present)) for part, (shape, present) in batches])
    return shown[world.rank]


def _size(shapes: dict[str, tuple[int, ...]]) -> int:
    return sum(torch.Size(shape).numel() for shape in shapes.values())


def _unpacked(values: Tensor, shapes: dict[str, tuple[int, ...]], present: Tensor) -> InstanceBatch:
    """Labels travel as floats, which hold them exactly."""
    parts = values.split([torch.Size(shape).numel() for shape in shapes.values()])
    image, masks, labels = (part.view(shape) for part, shape in zip(parts, shapes.values(), strict=True))
    return InstanceBatch(image, masks, present, labels.long())
