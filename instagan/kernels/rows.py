"""Features of instances and of the pictures that own them, row by row, in the memory layout that they have.

torch's ``index_add`` and ``index_select`` give the contiguous layout, whatever they are given: a channels-last network
would mix layouts from there on, and its gradients would be copied at every layer.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sum_by_owner(of_mask: Tensor, owner: Tensor, like: Tensor) -> Tensor:
    """``networks.owners.sum_by_owner`` in the layout of ``of_mask``: (P, C, h, w) -> (B, C, h, w)."""
    rows = _rows(of_mask)  # (P, C h w)
    zeros = rows.new_zeros((len(like), rows.shape[1]), dtype=torch.promote_types(like.dtype, torch.float32))
    return _shaped(zeros.index_add(0, owner, rows.to(zeros.dtype)).to(like.dtype), of_mask)  # (B, C, h, w)


def add_of_owner(own: Tensor, of_image: Tensor, owner: Tensor | None) -> Tensor:
    """Adds the features (B, C, h, w) of its picture to those of each instance (P, C, h, w), in place. None: B is 1."""
    rows = _rows(of_image)
    return _shaped(_rows(own).add_(rows if owner is None else rows.index_select(0, owner)), own)


def _channels_last(features: Tensor) -> bool:
    return features.is_contiguous(memory_format=torch.channels_last)


def _rows(features: Tensor) -> Tensor:
    """(R, C, h, w) -> (R, C h w) in the order of memory."""
    return (features.permute(0, 2, 3, 1) if _channels_last(features) else features).flatten(1)


def _shaped(rows: Tensor, like: Tensor) -> Tensor:
    """(R, C h w) -> (R, C, h, w) with the layout and sizes of ``like``."""
    channels, height, width = like.shape[1:]
    if _channels_last(like):
        return rows.view(-1, height, width, channels).permute(0, 3, 1, 2)
    return rows.view(-1, channels, height, width)
