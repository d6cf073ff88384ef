"""A generator ready to use: on its device, in its precision, a few instances at a time."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from instagan.errors import InputError
from instagan.inference.memory import free_memory, needed, side_that_fits
from instagan.inference.registry import Description
from instagan.kernels.processor import PRECISIONS
from instagan.structures.instances import InstanceBatch
from instagan.structures.one_way import OneWayTranslator


@dataclass(frozen=True, eq=False)
class Network:
    """The translator of one direction, whose generator is on ``device``.

    description: what it was built of; None where a method of the checkout translates by itself.
    """

    translator: OneWayTranslator
    description: Description | None = None
    device: torch.device = torch.device("cpu")
    precision: str = "fp32"

    @property
    def generator(self) -> Any:
        return self.translator.generator

    @property
    def ins_per(self) -> int:
        """Instances translated at a time; 1 where they are not taken one after the other."""
        return self.translator.ins_per or 1

    @property
    def knows_instances(self) -> bool:
        """Whether the method translates instance by instance; else it gives one slot (the union) or none."""
        return self.translator.by_instance

    @property
    def gives_masks(self) -> bool:
        """Whether masks make a difference and are translated: CycleGAN does not look at them."""
        return "masks" in self.translator.needs

    @torch.inference_mode()
    def run(
        self,
        source: InstanceBatch,
        ins_per: int | None = None,
        ins_max: int | None = None,
        in_order: bool = False,
        style: Tensor | InstanceBatch | None = None,
    ) -> InstanceBatch:
        """Pictures whose size the networks take -> their translations on the CPU, slots in the order of ``source``.

        in_order: slots are translated as they stand, and an absent one keeps its place in its mini-batch. style: as of
        ``OneWayTranslator``. Rows that memory does not hold together go one by one; raises ``InputError`` if it does
        not hold one.
        """
        if self._fits(source, ins_per):
            try:
                with self._autocast():
                    translator = replace(self.translator, generator=self._generate)
                    sent = None if style is None else style.to(self.device)
                    made = translator(source.to(self.device), ins_per, ins_max, in_order=in_order, style=sent)
                return made.to("cpu")
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
        if len(source) == 1:
            raise self._too_large(source, ins_per)
        if style is not None and len(style) == 1:
            style = style[[0] * len(source)]
        return InstanceBatch.cat(
            [
                self.run(source[[row]], ins_per, ins_max, in_order, None if style is None else style[[row]])
                for row in range(len(source))
            ]
        )

    def _at_once(self, source: InstanceBatch, ins_per: int | None) -> int:
        most = int(source.present.sum(1).max())
        return most if self.translator.at_once else min(ins_per or self.ins_per, most)

    def _needs(self, source: InstanceBatch, ins_per: int | None) -> int:
        """Bytes, at the peak."""
        assert self.description is not None
        return needed(self.description, source.image[:, 0].numel(), self._at_once(source, ins_per), self.precision)

    def _fits(self, source: InstanceBatch, ins_per: int | None) -> bool:
        """Asked on a CPU alone: there the system would end the process where a GPU raises an error."""
        if self.device.type != "cpu" or self.description is None:
            return True
        free = free_memory(self.device)
        return free is None or self._needs(source, ins_per) <= free

    def _too_large(self, source: InstanceBatch, ins_per: int | None) -> InputError:
        size = (source.image.shape[2], source.image.shape[3])
        at_once = self._at_once(source, ins_per)
        side = None
        if self.description is not None:
            side = side_that_fits(size, self._needs(source, ins_per), free_memory(self.device))
        advice = (
            f"max_side={side} (--max_side {side}) would fit" if side else "no smaller one would fit: free some of it"
        )
        return InputError(
            f"an image of {size[1]}x{size[0]} pixels, {at_once} instance{'' if at_once == 1 else 's'} at a time, does "
            f"not fit into the memory of {self.device}; {advice}"
        )

    def _generate(self, x: InstanceBatch, **style: Any) -> InstanceBatch:
        """The generator in the asked precision; what goes in and comes out is float32. style: where it takes one."""
        kind = PRECISIONS[self.precision]
        if kind == torch.float32:
            return self.generator(x, **style)
        return _as(torch.float32, self.generator(_as(kind, x), **style))

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, PRECISIONS[self.precision])


def _as(kind: torch.dtype, x: InstanceBatch) -> InstanceBatch:
    """The same with masks alone, all that networks look at in another precision."""
    attributes = None if x.attributes is None else x.attributes.to(kind)
    masks = replace(x, given_masks=x.masks.to(kind), given_boxes=None, keypoints=None, given_attributes=attributes)
    return masks.with_image(x.image.to(kind))


def choose_device(device: torch.device | str | None) -> torch.device:
    """The device of that name, or the fastest there is. Raises ``InputError`` if there is no such device."""
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError, ValueError, NotImplementedError):
        raise InputError(f"device {device}: there is no such device here; use cpu, cuda, cuda:1 or mps") from None
    return chosen


def _out_of_memory(error: BaseException) -> bool:
    told = ("out of memory", "can't allocate memory", "DefaultCPUAllocator")
    return isinstance(error, MemoryError) or any(words in str(error) for words in told)
