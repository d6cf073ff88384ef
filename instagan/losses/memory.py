"""Losses of MGUIT's memory: every position is to be more like the item that it is assigned to than like the others.

Letters: B pictures in a batch, K classes, I items of all classes, N items of some, h x w positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Term = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(likeness: Tensor, chosen: Tensor) -> Tensor:
    """-log(exp(l+) / sum over items of exp(l)), added up over the positions to which an item is assigned: (B,).

    likeness (B, N, h, w); chosen (B, N, h, w) bool, at most one item of each position. log N where all are alike.
    """
    of_positions = likeness.logsumexp(1) - (likeness * chosen).sum(1)  # (B, h, w)
    return (of_positions * chosen.any(1)).flatten(1).sum(1)


def share(log_share: Tensor, chosen: Tensor) -> Tensor:
    """The exp of the assigned items' values, added up over the positions: (B,). Shapes as of ``cross_entropy``."""
    return log_share.masked_fill(~chosen, -torch.inf).exp().flatten(1).sum(1)


def memory_terms(
    term: Term,
    of_keys: Tensor,
    of_styles: Tensor,
    of_all: Tensor,
    chosen: Tensor,
    topmost: Tensor,
    items: Sequence[int],
) -> Tensor:
    """Sums over positions for every class by keys, for every class by styles, for all items by keys: (B, 2 K + 1).

    of_keys, of_styles, of_all (B, I, h, w): how like each item is to each position. chosen, topmost (B, I, h, w) bool:
    the item of each class that a position is assigned to, and that of its last class alone. items: of every class.
    """
    per_class = [one.split(list(items), dim=1) for one in (of_keys, of_styles, chosen)]
    by_key = [term(likeness, one) for likeness, _, one in zip(*per_class, strict=True)]
    by_style = [term(likeness, one) for _, likeness, one in zip(*per_class, strict=True)]
    return torch.stack([*by_key, *by_style, term(of_all, topmost)], dim=1)
