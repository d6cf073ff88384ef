"""Batches on their way from a worker to the process that trains: a fifth of the bytes, and no shared memory.

torch would send each tensor as a file of shared memory, which takes longer than reading a pair from a cache, and ends
a run in a container that allows little of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from data.collate import collate_pairs
from data.unaligned_instance_dataset import Sample
from instagan.io.pixels import from_levels, mask_to_tensor, to_levels
from instagan.structures.instances import InstanceBatch, UnpairedBatch

Sent = tuple[np.ndarray, np.ndarray, tuple[int, ...], np.ndarray, np.ndarray]
"""Image in 8 bits, masks in 1 bit and their shape, present, labels."""


@dataclass(frozen=True)
class Parcel:
    """A batch as the loader makes it: every pixel of a picture one of 256 levels, masks -1 and 1. What another process
    unpickles is no parcel but the batch itself, the same to the last bit, so that it can be pinned like any other."""

    batch: UnpairedBatch

    def __reduce__(self) -> tuple[Callable[..., UnpairedBatch], tuple[Any, ...]]:
        batch = self.batch
        return _opened, (_sent(batch.a), _sent(batch.b), batch.a_paths, batch.b_paths, batch.skipped)


def collate_parcel(pairs: Sequence[tuple[Sample, Sample]]) -> Parcel:
    """Unpaired samples -> both domains' batches, to be sent."""
    return Parcel(collate_pairs(pairs))


def _sent(batch: InstanceBatch) -> Sent:
    masks = np.packbits(batch.masks.numpy() > 0)
    return to_levels(batch.image), masks, tuple(batch.masks.shape), batch.present.numpy(), batch.labels.numpy()


def _opened(
    a: Sent, b: Sent, a_paths: tuple[str, ...], b_paths: tuple[str, ...], skipped: tuple[str, ...]
) -> UnpairedBatch:
    return UnpairedBatch(_received(*a), _received(*b), a_paths, b_paths, skipped)


def _received(
    image: np.ndarray, masks: np.ndarray, shape: tuple[int, ...], present: np.ndarray, labels: np.ndarray
) -> InstanceBatch:
    inside = np.unpackbits(masks, count=int(np.prod(shape))).reshape(shape).view(bool)  # (B, N, H, W)
    flags, indices = (torch.from_numpy(array) for array in (present, labels))
    return InstanceBatch(from_levels(image), mask_to_tensor(inside), flags, indices)
