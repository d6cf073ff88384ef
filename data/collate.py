"""Samples -> batches; the only place that derives which instances are present from pixels, after the crop."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from data.unaligned_instance_dataset import Sample
from instagan.instances import OUTSIDE, InstanceBatch, UnpairedBatch


def collate_domain(samples: Sequence[Sample]) -> tuple[InstanceBatch, tuple[str, ...]]:
    """Samples of one size -> a batch with as many slots as the fullest sample has masks, and their paths.

    Slot k holds mask k of its sample; a mask that shows nothing (cropped away) is absent.
    """
    slots = max(len(sample.labels) for sample in samples)
    image = torch.stack([sample.image for sample in samples])  # (B, 3, H, W)
    masks = image.new_full((len(samples), slots, *image.shape[2:]), OUTSIDE)  # (B, N, H, W)
    labels = torch.zeros((len(samples), slots), dtype=torch.long)  # (B, N)
    for row, sample in enumerate(samples):
        masks[row, : len(sample.labels)] = sample.masks
        labels[row, : len(sample.labels)] = sample.labels
    return InstanceBatch.from_masks(image, masks, labels), tuple(sample.path for sample in samples)


def collate_pairs(pairs: Sequence[tuple[Sample, Sample]]) -> UnpairedBatch:
    """Unpaired samples -> both domains' batches."""
    (a, a_paths), (b, b_paths) = (collate_domain(samples) for samples in zip(*pairs, strict=True))
    return UnpairedBatch(a, b, a_paths, b_paths)
