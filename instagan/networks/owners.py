"""Features of instances, added up for the picture that owns them."""

from __future__ import annotations

import torch
from torch import Tensor


def sum_by_owner(of_mask: Tensor, owner: Tensor, like: Tensor) -> Tensor:
    """Sums the features (P, C, h, w) of each picture's instances: (B, C, h, w), 0 for a picture without any.

    Shape and type of the result are those of ``like``. Sums in float32 at least, whatever the features' type.
    """
    zeros = torch.zeros_like(like, dtype=torch.promote_types(like.dtype, torch.float32))  # (B, C, h, w)
    return zeros.index_add(0, owner, of_mask.to(zeros.dtype)).to(like.dtype)  # (B, C, h, w)
