"""Batches of large pictures translated in windows around their instances: what test.py and evaluations see of a model
that was trained with --instance_crops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from instagan.inference.inputs import Source
from instagan.inference.large import TranslateConfig
from instagan.inference.network import Network
from instagan.inference.translator import Translator
from instagan.io.pixels import to_bytes
from instagan.structures.instances import InstanceBatch
from instagan.structures.one_way import OneWayTranslator


def translate_in_windows(translator: OneWayTranslator, source: InstanceBatch, config: TranslateConfig) -> InstanceBatch:
    """A batch of any height and width -> its translation, each row as ``Translator`` gives it: in 8 bits, the input's
    pixels where nobody is, slots as ``OneWayTranslator`` has them. Labels are the targets, where there are some."""
    network = Network(replace(translator, ins_max=None), device=source.image.device)
    rows = [_row(Translator(network), source[[row]], translator.ins_max, config) for row in range(len(source))]
    return InstanceBatch.cat(rows).to(source.image.device)


def _row(translator: Translator, one: InstanceBatch, ins_max: int | None, config: TranslateConfig) -> InstanceBatch:
    labels = one.labels if one.targets is None else one.targets  # (1, N)
    (made,) = translator.translate([_source(one)], ins_max=ins_max, config=config, tensors=True)
    assert made.image is not None and made.soft_masks is not None
    slots = len(made.soft_masks)
    labels = labels.cpu() if slots == one.slot_count else torch.zeros(1, slots, dtype=torch.long)
    present = torch.tensor([made.present], dtype=torch.bool)  # (1, N)
    return InstanceBatch(made.image[None], made.soft_masks[None], present, labels)


def _source(one: InstanceBatch) -> Source:
    """A batch of one row."""
    told = {name: getattr(one, name) for name in ("strengths", "ranks", "targets")}
    fields: dict[str, Any] = {
        name: None if values is None else tuple(values[0].tolist()) for name, values in told.items()
    }
    inside = (one.masks[0] > 0).cpu().numpy()  # (N, H, W)
    return Source(np.ascontiguousarray(to_bytes(one.image[0])), inside, tuple(one.labels[0].tolist()), **fields)
