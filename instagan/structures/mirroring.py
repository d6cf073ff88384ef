"""Rows of a batch that are mirrored from left to right, some of them, by chance."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def draw_mirrored(share: float, generators: Sequence[torch.Generator]) -> Tensor:
    """Chooses each row with probability ``share``, by the row's own generator: (B,) bool on the CPU."""
    return torch.stack([torch.rand((), generator=one) for one in generators]) < share


def mirror(rows: Tensor, chosen: Tensor) -> Tensor:
    """Mirrors the chosen (B,) bool of the rows (B, C, h, w); the others stay as they are."""
    return torch.where(chosen[:, None, None, None], rows.flip(-1), rows)
