"""A network on several batches: in one call where pictures are small, which is faster, else in calls of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from torch import Tensor

from instagan.structures.instances import InstanceBatch

Made = TypeVar("Made", InstanceBatch, Tensor)
FEW_PIXELS = 2**15
"""Pixels of all batches up to which one call is faster than two, whatever the network's width. Beyond that it would
only hold more memory."""


def each(network: Callable[[InstanceBatch], Made], *batches: InstanceBatch) -> Iterator[Made]:
    """What the network makes of each batch, in order. Large batches go through it when they are asked for."""
    if len(batches) < 2 or not few_pixels(*batches):
        yield from map(network, batches)
        return
    made = network(InstanceBatch.cat(batches))
    start = 0
    for batch in batches:
        yield made[start : start + len(batch)]
        start += len(batch)


def few_pixels(*batches: InstanceBatch) -> bool:
    """Whether a network sees these batches in one call: pictures of one size, few pixels in all."""
    sizes = {tuple(batch.image.shape[2:]) for batch in batches}
    return len(sizes) == 1 and sum(batch.image[:, 0].numel() for batch in batches) <= FEW_PIXELS
