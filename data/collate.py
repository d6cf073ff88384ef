"""Samples -> batches; the only place that derives which instances are present from pixels, after the crop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from data.unaligned_instance_dataset import Sample
from instagan.structures.instances import OUTSIDE, InstanceBatch, UnpairedBatch


def collate_domain(samples: Sequence[Sample]) -> tuple[InstanceBatch, tuple[str, ...]]:
    """Samples of one size -> a batch with as many slots as the fullest sample has masks, and their paths.

    Slot k holds mask k of its sample; a mask that shows nothing (cropped away) is absent.
    """
    slots = max(len(sample.labels) for sample in samples)
    image = _rows([sample.image for sample in samples])  # (B, 3, H, W)
    masks = _rows([_filled(sample.masks, slots, OUTSIDE) for sample in samples])  # (B, N, H, W)
    labels = _rows([_filled(sample.labels, slots, 0) for sample in samples])  # (B, N)
    present = masks.amax((2, 3)) > 0  # (B, N); those of -1 and 1 that show nothing are as absent ones must be
    return InstanceBatch(image, masks, present, labels), tuple(sample.path for sample in samples)


def _rows(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors of one shape as the rows of one; a single one is not copied."""
    return tensors[0][None] if len(tensors) == 1 else torch.stack(tuple(tensors))


def _filled(tensor: Tensor, count: int, value: float) -> Tensor:
    """(n, ...) -> (count, ...) with ``value`` in what is new."""
    missing = count - len(tensor)
    return torch.cat((tensor, tensor.new_full((missing, *tensor.shape[1:]), value))) if missing else tensor


def collate_pairs(pairs: Sequence[tuple[Sample, Sample]]) -> UnpairedBatch:
    """Unpaired samples -> both domains' batches."""
    (a, a_paths), (b, b_paths) = (collate_domain(samples) for samples in zip(*pairs, strict=True))
    skipped = tuple(sentence for pair in pairs for sample in pair for sentence in sample.skipped)
    return UnpairedBatch(a, b, a_paths, b_paths, skipped)
