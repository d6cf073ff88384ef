"""The patch contrastive loss of CUT (Park, Efros, Zhang, Zhu, ECCV 2020, section 3.2), and where it looks.

Letters: B pictures in a batch, S sampled positions of each, C channels, h x w features.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def draw_positions(count: int, features: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Positions in feature maps (B, C, h, w), by one generator for each row: (B, S) long, row-major in 0 ... h w - 1.

    No position comes twice in a row. S is ``count``, or all h w positions where there are fewer.
    """
    size = features[0, 0].numel()
    drawn = [torch.randperm(size, generator=one)[:count] for one in generators]
    return torch.stack(drawn).to(features.device)  # (B, S)


def at_positions(features: Tensor, positions: Tensor) -> Tensor:
    """The features (B, C, h, w) of every picture at its positions (B, S), or at the same (S,) in all: (B, S, C)."""
    rows, channels = features.shape[:2]
    index = positions.expand(rows, -1)[:, None].expand(-1, channels, -1)  # (B, C, S)
    return features.flatten(2).gather(2, index).transpose(1, 2)  # (B, S, C)


def patch_nce(query: Tensor, key: Tensor, temperature: float = 0.07) -> Tensor:
    """Tells the key at the query's own position from those at the other positions of the same picture: (B, S).

    query, key (B, S, C) of length 1: position s of the translation, and of the picture that it was made from. The
    cross entropy of S classes for each query, at log S where all keys are alike. Keys receive no gradient.
    """
    similarity = torch.bmm(query, key.detach().transpose(1, 2)) / temperature  # (B, S, S): of queries with keys
    own = torch.arange(query.shape[1], device=query.device).expand(len(query), -1)  # (B, S)
    return functional.cross_entropy(similarity.transpose(1, 2), own, reduction="none")  # (B, S)
