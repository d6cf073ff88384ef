"""Samples -> batches; the only place that derives which instances are present, from pixels or boxes after the crop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from data.unaligned_instance_dataset import Sample
from instagan.structures.boxes import area
from instagan.structures.instances import FIELDS, InstanceBatch, UnpairedBatch


def collate_domain(samples: Sequence[Sample]) -> tuple[InstanceBatch, tuple[str, ...]]:
    """Samples of one size -> a batch with as many slots as the fullest sample has instances, and their paths.

    Slot k holds instance k of its sample; one of which nothing is left (cropped away) is absent. Where some samples
    have masks alone and others boxes alone, all get both.
    """
    paths = tuple(sample.path for sample in samples)
    tensors = [_tensors(sample) for sample in samples]
    if any(of_one.keys() != tensors[0].keys() for of_one in tensors):
        return InstanceBatch.cat([collate_domain([sample])[0] for sample in samples]), paths
    slots = max(len(sample.labels) for sample in samples)
    rows = {name: _rows([_filled(of_one[name], slots, name) for of_one in tensors]) for name in tensors[0]}
    if "given_boxes" in rows:
        rows["present"] = area(rows["given_boxes"]) > 0  # (B, N)
    else:
        # masks of -1 and 1 that show nothing are as absent ones must be
        rows["present"] = rows["given_masks"].amax((2, 3)) > 0  # (B, N)
    if "keypoints" in rows:  # a point may be left of an instance of which else nothing is
        rows["keypoints"] = torch.where(rows["present"][:, :, None, None], rows["keypoints"], 0)
    return InstanceBatch.from_fields(rows), paths


def _tensors(sample: Sample) -> dict[str, Tensor]:
    """What a sample carries, by the names of a batch's fields."""
    told = {
        "image": sample.image,
        "given_masks": sample.masks,
        "labels": sample.labels,
        "given_boxes": sample.boxes,
        "keypoints": sample.keypoints,
        "given_attributes": sample.parts,
    }
    return {name: tensor for name, tensor in told.items() if tensor is not None}


def _rows(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors of one shape as the rows of one; a single one is not copied."""
    return tensors[0][None] if len(tensors) == 1 else torch.stack(tuple(tensors))


def _filled(tensor: Tensor, count: int, name: str) -> Tensor:
    """(n, ...) -> (count, ...): absent slots behind those that are there. The image stays as it is."""
    if not FIELDS[name].has_slots or len(tensor) == count:
        return tensor
    missing = tensor.new_full((count - len(tensor), *tensor.shape[1:]), FIELDS[name].absent)
    return torch.cat((tensor, missing))


def collate_pairs(pairs: Sequence[tuple[Sample, Sample]]) -> UnpairedBatch:
    """Unpaired samples -> both domains' batches."""
    of_domains = dict(zip("AB", map(collate_domain, zip(*pairs, strict=True)), strict=True))
    skipped = tuple(sentence for pair in pairs for sample in pair for sentence in sample.skipped)
    return UnpairedBatch(
        {letter: batch for letter, (batch, _) in of_domains.items()},
        {letter: paths for letter, (_, paths) in of_domains.items()},
        skipped,
    )
