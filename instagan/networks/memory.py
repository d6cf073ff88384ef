"""MGUIT's memory: for every class of objects some items, each a key, which contents are compared with, and a value for
every domain, a style (Jeong, Kim, Lee, Sohn, Memory-guided Unsupervised Image-to-image Translation, CVPR 2021).

The memory is state, not weights: after each update a step towards what the pictures of the update hold. A style map is
read from it: at every position a mean of values, weighted by how well their keys fit the content there.

Letters: B pictures in a batch, R pictures of all that make an update, K classes with 0 the background, I items of all
classes, C channels of content and keys, V channels of styles and values, h x w positions, S = I V numbers of a style.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from instagan.structures.boxes import rasterise
from instagan.structures.instances import InstanceBatch

ITEMS = (10, 5, 2, 3)
"""Of background, cars, signs and persons, as published."""
DOMAINS = ("A", "B")
STRIDE = 4
"""Pixels of a picture for each position."""
NOTHING = -1e9
"""Log of a sum over no positions: finite, so that gradients are."""
MOMENTUM = 0.5
EPS = 1e-5


@dataclass(frozen=True, eq=False)
class MemoryState:
    """keys (I, C) of length 1; values: domain -> (I, V)."""

    keys: Tensor
    values: Mapping[str, Tensor]

    def detach(self) -> MemoryState:
        return MemoryState(self.keys.detach(), {domain: one.detach() for domain, one in self.values.items()})


@dataclass(frozen=True, eq=False)
class Statistics:
    """All that an update of the memory looks at of the pictures of one domain, each row for itself.

    log_sum     (R, I) log of the sum of exp(similarity) over the positions of the item's class
    count       (R, I) positions of the class whose most similar item this is
    contents    (R, I, C) mean content of those, each with its share in that sum as its weight
    styles      (R, I, V) the same of their styles
    log_totals  (R, I) as log_sum, over all positions
    log_styles  (R, I) as log_sum, of the products of styles and values
    """

    log_sum: Tensor
    count: Tensor
    contents: Tensor
    styles: Tensor
    log_totals: Tensor
    log_styles: Tensor

    def __len__(self) -> int:
        """R."""
        return len(self.log_sum)

    def packed(self) -> Tensor:
        """(R, I, C + V + 4)."""
        columns = (self.log_sum, self.count, self.log_totals, self.log_styles)
        return torch.cat([torch.stack(columns, dim=2), self.contents, self.styles], dim=2)

    @classmethod
    def unpacked(cls, packed: Tensor, channels: int) -> Statistics:
        """The opposite of ``packed``; channels: C."""
        log_sum, count, log_totals, log_styles = packed[:, :, :4].unbind(2)
        contents, styles = packed[:, :, 4 : 4 + channels], packed[:, :, 4 + channels :]
        return cls(log_sum, count, contents, styles, log_totals, log_styles)


class Likeness(NamedTuple):
    """How like each item is to each position of a domain's pictures, by the memory as it is: (B, I, h, w) each.

    of_keys, of_styles   within the item's class, of contents with keys and of styles with values
    of_all               of contents with keys, among all items
    chosen, topmost      bool: the item of every class that a position is assigned to, and that of its last class alone
    """

    of_keys: Tensor
    of_styles: Tensor
    of_all: Tensor
    chosen: Tensor
    topmost: Tensor


class ClassMemory(nn.Module):
    """The items of all classes, those of a class one after the other, as buffers.

    In the beginning keys are random directions, and values are from N(0, I).
    """

    keys: Tensor
    classes: Tensor

    def __init__(self, items: Sequence[int] = ITEMS, channels: int = 256, style_channels: int = 128) -> None:
        """items: of every class, background first."""
        super().__init__()
        self.items = tuple(items)
        total = sum(items)
        self.register_buffer("keys", functional.normalize(torch.randn(total, channels), dim=1))
        for domain in DOMAINS:
            self.register_buffer(f"values_{domain}", torch.randn(total, style_channels))
        classes = torch.tensor([number for number, count in enumerate(items) for _ in range(count)])  # (I,)
        self.register_buffer("classes", classes, persistent=False)

    @property
    def state(self) -> MemoryState:
        return MemoryState(self.keys, {domain: self.values(domain) for domain in DOMAINS})

    def values(self, domain: str) -> Tensor:
        """(I, V)."""
        return self.get_buffer(f"values_{domain}")

    @torch.no_grad()
    def store(self, state: MemoryState) -> None:
        """Takes a state over, without its gradients; but stays as it is where that is not finite."""
        told = [(self.keys, state.keys), *((self.values(domain), one) for domain, one in state.values.items())]
        finite = torch.stack([new.isfinite().all() for _, new in told]).all()
        for old, new in told:
            old.copy_(torch.where(finite, new, old))

    def of_each_class(self, of_items: Tensor) -> Iterator[Tensor]:
        """(B, I, ...) -> (B, N_k, ...) for each class k."""
        return iter(of_items.split(self.items, dim=1))

    def within(self, masks: Tensor) -> Tensor:
        """Masks of the classes (B, K, h, w) -> of the items (B, I, h, w) bool: where an item's class is."""
        return masks[:, self.classes]

    def assigned(self, similarity: Tensor, masks: Tensor) -> Tensor:
        """The most similar item of every class that a position belongs to: (B, I, h, w) bool."""
        found = []
        for of_class, mask in zip(self.of_each_class(similarity), masks.split(1, dim=1), strict=True):
            best = functional.one_hot(of_class.argmax(1), of_class.shape[1]).movedim(-1, 1)  # (B, N_k, h, w)
            found.append((best > 0) & mask)
        return torch.cat(found, dim=1)

    def statistics(self, domain: str, content: Tensor, style: Tensor, masks: Tensor) -> Statistics:
        """What the pictures of a domain hold of each item, by the memory as it is.

        content (B, C, h, w) of length 1, style (B, V, h, w), masks (B, K, h, w) bool. R = B.
        """
        with in_full(content):
            likeness = similarity(content, self.keys)  # (B, I, h, w)
            inside, chosen = self.within(masks), self.assigned(likeness, masks)
            log_sum = _log_sum(likeness, inside)  # (B, I)
            log_share = (likeness - log_sum[:, :, None, None]).masked_fill(~chosen, -torch.inf)
            share = log_share.exp().flatten(2)  # (B, I, h w)
            return Statistics(
                log_sum,
                chosen.flatten(2).sum(2).to(likeness),
                share @ content.to(likeness).flatten(2).transpose(1, 2),  # (B, I, C)
                share @ style.to(likeness).flatten(2).transpose(1, 2),  # (B, I, V)
                likeness.flatten(2).logsumexp(2),
                _log_sum(similarity(style, self.values(domain)), inside),
            )

    def told(self, content: Mapping[str, Tensor], style: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
        """``statistics`` of both domains as one tensor, (B, domains, I, ...), which ``seen`` reads."""
        return torch.stack([self.statistics(d, content[d], style[d], masks[d]).packed() for d in DOMAINS], dim=1)

    def seen(self, rows: Tensor) -> dict[str, Statistics]:
        """(R, domains, I, ...) -> the statistics of each domain."""
        return {d: Statistics.unpacked(of, self.keys.shape[1]) for d, of in zip(DOMAINS, rows.unbind(1), strict=True)}

    def in_both(self, seen: Mapping[str, Statistics]) -> Tensor:
        """Whether each class is in the pictures of both domains: (K,) bool."""
        return torch.stack([self.positions(one) > 0 for one in seen.values()]).all(0)

    def likeness(self, domain: str, content: Tensor, style: Tensor, masks: Tensor, tau: float) -> Likeness:
        """Cosines over a temperature. Arguments as of ``statistics``."""
        with in_full(content):
            unit = functional.normalize(self.values(domain), dim=1)
            of_keys = similarity(content, self.keys) / tau  # (B, I, h, w)
            of_styles = similarity(functional.normalize(style, dim=1), unit) / tau
        return Likeness(of_keys, of_styles, of_keys, *self._assigned_and_topmost(of_keys, masks))

    def shares(self, domain: str, content: Tensor, style: Tensor, masks: Tensor, seen: Statistics) -> Likeness:
        """Logarithms of each position's share in an item, of all positions that were seen, as published."""
        with in_full(content):
            products, of_values = similarity(content, self.keys), similarity(style, self.values(domain))
        of_keys, of_styles, of_all = (
            product - log_sums.logsumexp(0)[:, None, None]  # log_sums (R, I)
            for product, log_sums in (
                (products, seen.log_sum), (of_values, seen.log_styles), (products, seen.log_totals)
            )
        )  # fmt: skip
        return Likeness(of_keys, of_styles, of_all, *self._assigned_and_topmost(of_keys, masks))

    def _assigned_and_topmost(self, likeness: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        chosen = self.assigned(likeness, masks)
        return chosen, chosen & self.within(topmost(masks))

    def positions(self, seen: Statistics) -> Tensor:
        """How many positions of each class there are: (K,) float."""
        return torch.stack([one.sum() for one in self.of_each_class(seen.count)])

    def found(self, seen: Statistics) -> tuple[Tensor, Tensor, Tensor]:
        """The content of each item in all rows, of length 1, and its style, standardised over its channels: (I, C),
        (I, V). Both are 0 where no position is, which (I, 1) bool tells."""
        row_shares = seen.log_sum.softmax(0)[:, :, None]  # (R, I, 1)
        content, style = (row_shares * seen.contents).sum(0), (row_shares * seen.styles).sum(0)  # (I, C), (I, V)
        there = seen.count.sum(0)[:, None] > 0  # (I, 1)
        u = functional.normalize(content.where(there, 1), dim=1).where(there, 0)
        return u, functional.layer_norm(style, style.shape[1:], eps=EPS).where(there, 0), there

    def updated(self, seen: Mapping[str, Statistics], decay: bool = False) -> MemoryState:
        """The memory after a step of one half towards what was seen, with gradients to that.

        A class that a domain lacks stays as it is, and so does the value of an item that no position was assigned to;
        with ``decay`` that one is halved, as published.
        """
        both = self.in_both(seen)[self.classes][:, None]  # (I, 1)
        keys, values = (1 - MOMENTUM) * self.keys, {}
        for domain, one in seen.items():
            u, w, there = self.found(one)
            keys = keys + MOMENTUM / len(seen) * u
            old = self.values(domain)
            values[domain] = torch.where(both & (there | decay), (1 - MOMENTUM) * old + MOMENTUM * w, old)
        return MemoryState(torch.where(both, functional.normalize(keys, dim=1), self.keys), values)

    def read_weights(
        self, content: Tensor, keys: Tensor, masks: Tensor | None = None, temperature: float = 1.0
    ) -> Tensor:
        """How much each item counts at each position: (B, I, h, w), summing up to 1.

        masks (B, K, h, w): the items of a position's class take part, of its last class where it has several; None: all
        items. temperature: towards 0 the most similar item counts alone.
        """
        likeness = similarity(content, keys) / temperature  # (B, I, h, w)
        if masks is not None:
            own = self.within(topmost(masks))  # (B, I, h, w)
            likeness = likeness.masked_fill(~own, -torch.inf)
        return likeness.softmax(1)


def read(weights: Tensor, values: Tensor) -> Tensor:
    """Weights (B, I, h, w) and values, (I, V) or (B, I, V) -> style map (B, V, h, w)."""
    table = values.to(weights).transpose(-2, -1).expand(len(weights), -1, -1)  # (B, V, I)
    return torch.bmm(table, weights.flatten(2)).unflatten(2, weights.shape[2:])


def similarity(features: Tensor, table: Tensor) -> Tensor:
    """Inner products of features (B, C, h, w) with rows (I, C): (B, I, h, w); cosines where both have length 1."""
    kind = torch.promote_types(features.dtype, table.dtype)
    return functional.conv2d(features.to(kind), table.to(kind)[:, :, None, None])


def topmost(masks: Tensor) -> Tensor:
    """Masks (B, K, h, w) that may overlap -> each position in its last class alone."""
    above = masks.flip(1).cumsum(1).flip(1) - masks.long()  # (B, K, h, w): classes after this one
    return masks & (above == 0)


def class_masks(x: InstanceBatch, classes: int) -> Tensor:
    """Where the classes are, at content resolution: (B, K, H/4, W/4) bool.

    Class k holds the boxes of the instances with label k - 1, their edges rounded to multiples of 4 pixels (half to
    even, as published). Background is where no box is; labels beyond the classes count as background, too.
    """
    height, width = (side // STRIDE for side in x.image.shape[2:])
    inside = rasterise((x.boxes / STRIDE).round(), height, width)  # (B, N, h, w)
    there = x.present.to(inside.device, non_blocking=True)[:, :, None, None] & inside
    fits = x.labels[:, :, None] == torch.arange(classes - 1, device=inside.device)  # (B, N, K - 1)
    objects = (there[:, :, None] & fits[:, :, :, None, None]).any(1)  # (B, K - 1, h, w)
    return torch.cat([~objects.any(1, keepdim=True), objects], dim=1)


def _log_sum(values: Tensor, inside: Tensor) -> Tensor:
    """(B, I, h, w) -> (B, I): log of the sum of exp over the positions inside; ``NOTHING`` or about that for none."""
    return values.masked_fill(~inside, NOTHING).flatten(2).logsumexp(2)


@contextmanager
def in_full(like: Tensor) -> Iterator[None]:
    """Within it nothing is computed in a lower precision: sums over many positions would not bear it."""
    kind = like.device.type
    with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
        yield
