"""Losses of MGUIT's memory: every position is to be more like the item that it is assigned to than like the others.

Letters: B pictures in a batch, R of all in an update, K classes, I items of all classes, N items of
some, V channels of styles, C of contents, h x w positions.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor


class Memory(Protocol):
    """What is asked of ``instagan.networks.memory.ClassMemory``."""

    items: tuple[int, ...]

    def likeness(self, domain: str, content: Tensor, style: Tensor, masks: Tensor, tau: float) -> Any: ...

    def shares(self, domain: str, content: Tensor, style: Tensor, masks: Tensor, seen: Any) -> Any: ...

    def positions(self, seen: Any) -> Tensor: ...


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
    memory: Memory, domain: str, content: Tensor, style: Tensor, masks: Tensor, seen: Any, tau: float | None
) -> Tensor:
    """What pictures of a domain add to the losses of each class by keys, of each by styles, and of all items by keys.

    (B, 2 K + 1); the mean over all R pictures of an update is that over their positions, 0 where there is none.
    content (B, C, h, w), style (B, V, h, w), masks (B, K, h, w); seen: the statistics of the R pictures. tau: the
    temperature of the contrastive losses; None: shares, of which ``of_shares`` makes the published losses.
    """
    given = domain, content, style, masks
    term, like = (share, memory.shares(*given, seen)) if tau is None else (cross_entropy, memory.likeness(*given, tau))
    of_classes = [one.split(memory.items, dim=1) for one in (like.of_keys, like.of_styles, like.chosen)]
    by_key = [term(likeness, chosen) for likeness, _, chosen in zip(*of_classes, strict=True)]
    by_style = [term(likeness, chosen) for _, likeness, chosen in zip(*of_classes, strict=True)]
    sums = torch.stack([*by_key, *by_style, term(like.of_all, like.topmost)], dim=1)  # (B, 2 K + 1)
    positions, rows = memory.positions(seen), len(seen)
    everywhere = positions.new_tensor([rows * masks[0, 0].numel()])
    return rows * sums / torch.cat([positions, positions, everywhere]).clamp(min=1)


def of_shares(of_rows: Tensor, mean: Tensor) -> Tensor:
    """The published losses 0.1 exp(-mean), as what each row adds to them: their mean over rows, and its gradient.

    of_rows (B, ...); mean (...): that of all rows, without gradient. exp(-x) is told by what it is there and its slope.
    """
    return 0.1 * (-mean).exp() * (1 + mean - of_rows)


def by_key_and_style(of_rows: Tensor, both: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over domains and over the classes that both domains have, by keys and by styles: (B,) each.

    of_rows (B, domains, 2 K + 1); both (K,) bool. That over all items belongs to the keys.
    """
    by_key, by_style, by_all = of_rows.sum(1).split((len(both), len(both), 1), dim=1)
    return (by_key * both).sum(1) + by_all[:, 0], (by_style * both).sum(1)
