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
from torch import Tensor

from data.collate import collate_pairs
from data.unaligned_instance_dataset import Sample
from instagan.io.pixels import from_levels, mask_to_tensor, to_levels
from instagan.structures.instances import InstanceBatch, UnpairedBatch

Packed = dict[str, Any]
"""A batch by the names of its fields: the image in 8 bits where it has no more, masks and parts as shape and 1 bit a
pixel, all else as it is."""


@dataclass(frozen=True)
class PackedBatch:
    """A batch as the loader makes it: every pixel of an image one of 256 levels, but in the domains that are ``deep``,
    masks -1 and 1. What another process unpickles is the batch itself, the same to the last bit, so that it can be
    pinned like any other."""

    batch: UnpairedBatch
    deep: frozenset[str] = frozenset()

    def __reduce__(self) -> tuple[Callable[..., UnpairedBatch], tuple[Any, ...]]:
        packed = {letter: _packed(batch, letter in self.deep) for letter, batch in self.batch.domains.items()}
        return _opened, (packed, self.batch.paths, self.batch.skipped)


def collate_packed(pairs: Sequence[tuple[Sample, Sample]]) -> PackedBatch:
    """Unpaired samples -> both domains' batches, to be sent."""
    deep = {letter for pair in pairs for letter, sample in zip("AB", pair, strict=True) if sample.deep}
    return PackedBatch(collate_pairs(pairs), frozenset(deep))


def _packed(batch: InstanceBatch, deep: bool) -> Packed:
    packed = {name: PACKING.get(name, Tensor.numpy)(tensor) for name, tensor in batch.fields().items()}
    return packed | ({"image": batch.image.numpy()} if deep else {})


def _opened(packed: dict[str, Packed], paths: dict[str, tuple[str, ...]], skipped: tuple[str, ...]) -> UnpairedBatch:
    return UnpairedBatch({letter: _unpacked(batch) for letter, batch in packed.items()}, paths, skipped)


def _unpacked(packed: Packed) -> InstanceBatch:
    return InstanceBatch.from_fields(
        {
            name: torch.from_numpy(content)
            if name == "image" and content.dtype != np.uint8
            else UNPACKING.get(name, torch.from_numpy)(content)
            for name, content in packed.items()
        }
    )


def _to_bits(masks: Tensor) -> tuple[tuple[int, ...], np.ndarray]:
    return tuple(masks.shape), np.packbits(masks.numpy() > 0)


def _from_bits(sent: tuple[tuple[int, ...], np.ndarray]) -> Tensor:
    shape, bits = sent
    return mask_to_tensor(np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).view(bool))  # (B, N, H, W)


PACKING: dict[str, Callable[[Tensor], Any]] = {
    "image": to_levels,
    "given_masks": _to_bits,
    "given_attributes": _to_bits,
}
UNPACKING: dict[str, Callable[[Any], Tensor]] = {
    "image": from_levels,
    "given_masks": _from_bits,
    "given_attributes": _from_bits,
}
