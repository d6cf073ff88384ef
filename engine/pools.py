"""One image pool for all ranks: each rank keeps the same one, and shows it the fakes of all ranks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.parallel import World
from instagan.structures.image_pool import ImagePool
from instagan.structures.instances import FIELDS, InstanceBatch

Shapes = dict[str, tuple[int, ...]]
"""Of the tensors that a fake holds on its device, by the names of its fields."""


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
    held = [{name: one for name, one in fake.fields().items() if not FIELDS[name].on_cpu} for fake in fakes]
    shapes: list[Shapes] = [{name: tuple(one.shape) for name, one in of_fake.items()} for of_fake in held]
    mine_told = list(zip(shapes, [fake.present for fake in fakes], strict=True))
    told = world.all_gather_object((mine_told, fakes[0].image.dtype if fakes else None))
    dtype = next(dtype for _, dtype in told if dtype is not None)
    parts = [one.detach().to(dtype).flatten() for of_fake in held for one in of_fake.values()]
    mine = torch.cat([torch.empty(0, dtype=dtype, device=device), *parts])
    lengths = [sum(_size(shape) for shape, _ in of_rank) for of_rank, _ in told]
    shown = []
    for values, (of_rank, _) in zip(world.gather(mine, lengths), told, strict=True):
        batches = zip(values.split([_size(shape) for shape, _ in of_rank]), of_rank, strict=True)
        shown.append([pool.query(_unpacked(part, shape, present)) for part, (shape, present) in batches])
    return shown[world.rank]


def _size(shapes: Shapes) -> int:
    return sum(torch.Size(shape).numel() for shape in shapes.values())


def _unpacked(values: Tensor, shapes: Shapes, present: Tensor) -> InstanceBatch:
    """``present`` was told beside the values. Labels travel as floats, which hold them exactly."""
    parts = values.split([torch.Size(shape).numel() for shape in shapes.values()])
    tensors = {name: part.view(shape) for part, (name, shape) in zip(parts, shapes.items(), strict=True)}
    whole = {name: one if FIELDS[name].kind == "float" else one.long() for name, one in tensors.items()}
    return InstanceBatch.from_fields(whole | {"present": present})
