"""Mask agreement: an instance stays where it was, whatever shape it takes, without a way back that would check it."""

from __future__ import annotations

import torch
from torch import Tensor

from instagan.structures.instances import InstanceBatch


def mask_agreement(x: InstanceBatch, y: InstanceBatch, least: float) -> Tensor:
    """How far each mask b_k of y is from sharing ``least`` of its area with the mask a_k of x, in [0, 1]: (B,).

    max(0, 1 - IoU(a_k, b_k) / least), mean over the present instances; 0 where all agree that much, so that outlines
    are free beyond it. IoU of soft masks: sum of min(a, b) over sum of max(a, b), a and b in [0, 1].
    """
    a, b = (x.masks + 1) / 2, (y.masks + 1) / 2  # (B, N, H, W)
    shared, joined = torch.minimum(a, b).sum((2, 3)), torch.maximum(a, b).sum((2, 3))  # (B, N)
    missing = (1 - shared / joined.clamp(min=1) / least).clamp(min=0)  # (B, N)
    present = x.present.to(missing.device, non_blocking=True)
    return (missing * present).sum(1) / present.sum(1).clamp(min=1)
