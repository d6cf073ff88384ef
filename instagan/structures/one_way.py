"""A generator as it is used to translate in one direction: the only loop over instances outside of training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from instagan.errors import InputError
from instagan.structures.instances import InstanceBatch
from instagan.structures.sequential import translate_in_order

SET_ORDERS = ("decreasing", "random")
OF_INSTANCES = {"masks", "boxes", "labels"}
"""Needs that the slots of a batch answer."""
SMALLEST_EXAMPLE = 16
"""Shortest side in pixels of a picture that a style is taken from."""


def taken(source: InstanceBatch, most: int | None, order: str) -> InstanceBatch:
    """At most so many instances of each row (None: all), as a method of sets trains on them: in the order in which they
    are translated, keypoints drawn as heat maps. order: out of ``SET_ORDERS``."""
    return (source.largest(most) if order == "decreasing" else source.first(most)).drawn()


@dataclass(frozen=True, eq=False)
class OneWayTranslator:
    """InstanceBatch -> its translation, slots in the order of the source.

    generator   InstanceBatch -> InstanceBatch; takes ``style=`` and has a ``style_size`` where ``needs`` holds "style".
                With an ``own_style`` it translates in that where none is asked for, and takes none from examples
    needs       what it looks at beside the image: "masks", "boxes", "labels", "style"
    ins_per     instances at a time, by sequential mini-batches; None: all of the picture at once
    set_order   the order in which they are taken, those with ``ranks`` by these first: decreasing (by area) or random
                (as their slots stand)
    ins_max     most instances of a picture that are translated; None: all
    at_once     each instance comes out by itself, but all are translated at once, and a picture without any, too: what
                comes out has other channels than what goes in, so that nothing can be translated once more, or stay
    """

    generator: Callable[..., InstanceBatch]
    needs: tuple[str, ...] = ()
    ins_per: int | None = None
    set_order: str = "decreasing"
    ins_max: int | None = None
    at_once: bool = False

    def __call__(
        self,
        source: InstanceBatch,
        ins_per: int | None = None,
        ins_max: int | None = None,
        *,
        in_order: bool = False,
        style: Any = None,
    ) -> InstanceBatch:
        """ins_per, ins_max: other than those above. in_order: slots are taken as they stand, absent ones keep theirs.

        One instance after the other, as strongly as its ``strengths`` say: those beyond ``ins_max`` come out absent,
        and a picture without any comes out unchanged. style: codes (B, S) or an ``InstanceBatch`` of B examples, or one
        for all rows; None: ``own_style``, or drawn.
        Raises ``InputError`` for a style that the generator does not take.
        """
        self.check_style(style, len(source))
        generator = partial(self.generator, style=style) if "style" in self.needs else self.generator
        if not self.by_instance:
            source = replace(source, strengths=None, ranks=None)  # those that are left out are absent already
            return generator(source if OF_INSTANCES & set(self.needs) else source.slots(0, 0))
        if in_order:
            order = torch.arange(source.slot_count, device=source.image.device).expand(len(source), -1)  # (B, N)
        else:
            order = source.order_by_area() if self.set_order == "decreasing" else source.order_of_slots()  # (B, N)
        order = source.ranked(order)  # (B, N)
        if self.ins_per is None:
            first = order.argsort(dim=1).cpu() < (ins_max or self.ins_max or source.slot_count)  # (B, N)
            return generator(replace(source, strengths=None, ranks=None).keeping(source.present & first))
        made = translate_in_order(generator, source, order, ins_per or self.ins_per, ins_max or self.ins_max)
        made = replace(made, strengths=None, ranks=None)
        return made if source.strengths is None else _weakened(source, made, source.strengths)

    @property
    def by_instance(self) -> bool:
        """Whether each instance comes out by itself, and not all as one or none."""
        return self.ins_per is not None or self.at_once

    @property
    def style_size(self) -> int | None:
        """S, the numbers of a style code; None where there are none."""
        return getattr(self.generator, "style_size", None)

    @property
    def own_style(self) -> Tensor | None:
        """(S,): the style of translations for which none is asked; None where it is drawn, or there are no styles."""
        return getattr(self.generator, "own_style", None)

    @property
    def draws_styles(self) -> bool:
        """Whether a translation for which no style is asked has a drawn one."""
        return self.style_size is not None and self.own_style is None

    def draw_styles(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, S) codes from N(0, I), on the CPU. generator: None takes torch's own random numbers.

        Drawn one after the other, so that more of them begin with the same ones. Raises ``InputError`` without styles.
        """
        if self.style_size is None:
            raise InputError("this model translates without a style, so there is none to draw")
        return torch.stack([torch.randn(self.style_size, generator=generator) for _ in range(count)])

    def check_style(self, style: Any, rows: int) -> None:
        """Raises ``InputError`` for a style that does not fit, or not so many pictures."""
        if style is None:
            return
        if "style" not in self.needs:
            raise InputError("this model translates without a style; drop it")
        if isinstance(style, InstanceBatch) and self.own_style is not None:
            raise InputError("this model takes no style from an image; ask for drawn styles, or for none")
        if isinstance(style, InstanceBatch) and min(style.image.shape[2:]) < SMALLEST_EXAMPLE:
            size = "x".join(map(str, reversed(style.image.shape[2:])))
            raise InputError(f"a style image of {size} pixels is too small; use {SMALLEST_EXAMPLE} or more a side")
        if len(style) not in (1, rows):
            raise InputError(f"there are {len(style)} styles for {rows} images; pass one, or one for each")
        wanted = self.style_size
        if isinstance(style, Tensor) and wanted is not None and tuple(style.shape[1:]) != (wanted,):
            raise InputError(f"a style of this model has {wanted} numbers, not {tuple(style.shape[1:])}")

    def description(self) -> dict[str, Any]:
        """What ``instagan.inference.registry`` makes it of again, in plain values; empty for a generator of no kind."""
        kind = getattr(self.generator, "kind", None)
        if kind is None:
            return {}
        config = dict(self.generator.config)  # type: ignore[attr-defined]
        using = {"needs": list(self.needs), "ins_per": self.ins_per, "set_order": self.set_order}
        return {"kind": kind, "config": config, **using}


def _weakened(x: InstanceBatch, y: InstanceBatch, strengths: Tensor) -> InstanceBatch:
    """The translation y of x, each instance as strongly as ``strengths`` s (B, N) says: y + (1 - s) (x - y) where it is
    or was. Masks and attributes alike: b_k + (1 - s_k) (a_k - b_k). A pixel of several instances takes the least of
    their strengths.
    """
    there = y.present.to(strengths.device)
    of_x = torch.where(there, 1 - strengths, 0)[:, :, None, None]  # (B, N, 1, 1)
    belongs = (torch.maximum(x.masks, y.masks) + 1) / 2  # (B, N, H, W): 0 outside of both masks, 1 inside of one
    kept = (of_x * belongs).amax(1, keepdim=True) if y.slot_count else 0  # (B, 1, H, W)
    image, masks = y.image + kept * (x.image - y.image), y.masks + of_x * (x.masks - y.masks)
    if y.attributes is None or x.attributes is None:
        return replace(y, image=image, given_masks=masks)
    attributes = y.attributes + of_x[:, :, None] * (x.attributes - y.attributes)  # (B, N, A, H, W)
    return replace(y, image=image, given_masks=masks, given_attributes=attributes)
