"""Sequential mini-batch translation (paper section 2.3): a few instances at a time, on the last step's picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from instagan.structures.instances import InstanceBatch

Translate = Callable[[InstanceBatch], InstanceBatch]


@dataclass(frozen=True, eq=False)
class MiniBatch:
    """What is done at a time: R rows of a batch, and some of their instances, the slots from ``start`` on.

    whole       the batch that is translated: all B rows, all N slots
    real        pictures of the target domain, for the R rows; None where only translating is asked for
    rows        (R,) long on the CPU: which rows of the batch
    start       the first slot that is translated; 0 in the first mini-batch
    source      (x_m, a_m): R rows, ins_per slots
    translated  (y_m, b_m) = G(x_m, a_m): R rows, ins_per slots; carries gradients of this step only
    aggregate   (y_m, b_1 ... b_m): R rows, earlier masks detached; what the discriminator judges
    result      all B rows and N slots after this step, detached; rows that take no part keep their picture
    shown       what the discriminator sees in place of ``aggregate``: new and old fakes; None before they are drawn
    """

    whole: InstanceBatch
    real: InstanceBatch | None
    rows: Tensor
    start: int
    source: InstanceBatch
    translated: InstanceBatch
    aggregate: InstanceBatch
    result: InstanceBatch
    shown: InstanceBatch | None = None

    def within_whole(self, part: InstanceBatch) -> InstanceBatch:
        """The whole batch with R rows in the place of its own: their pictures and, from ``start`` on, their slots."""
        whole = self.whole[self.rows]
        after = whole.slots(self.start + part.slot_count, max(whole.slot_count, self.start + part.slot_count))
        slots = whole.slots(0, self.start).with_image(part.image).with_slots_of(part).with_slots_of(after)
        return self.whole.paste(self.rows, slots.slots(0, whole.slot_count))


class SequentialMiniBatches:
    """The slots of a batch in mini-batches of ``ins_per``, translated one after the other.

    x_1 = x and x_{m+1} = y_m detached. Slots are taken in the order given (see ``InstanceBatch.largest``). A row takes
    part as long as its mini-batch holds an instance; a step without any such row is left out. Lazy on purpose: the next
    mini-batch is translated when it is asked for, with the weights of that moment.
    """

    def __init__(
        self, translate: Translate, source: InstanceBatch, ins_per: int, real: InstanceBatch | None = None
    ) -> None:
        """real: pictures of the target domain, B rows, which the mini-batches carry along."""
        self.translate, self.source, self.ins_per, self.real = translate, source, ins_per, real
        starts = range(0, source.slot_count, ins_per)
        rows = [source.slots(start, start + ins_per).present.any(1).nonzero()[:, 0] for start in starts]
        self.steps = [(start, of_step) for start, of_step in zip(starts, rows, strict=True) if len(of_step)]

    @property
    def rows(self) -> list[Tensor]:
        """Of each mini-batch, the rows that take part, known before it is made."""
        return [rows for _, rows in self.steps]

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[MiniBatch]:
        source, slots = self.source, self.source.slot_count
        result = InstanceBatch.from_images(source.image).slots(0, slots).detach()
        for start, rows in self.steps:
            x_m = source.slots(start, start + self.ins_per).with_image(result.image)[rows]
            y_m = self.translate(x_m)
            aggregate = result.slots(0, start)[rows].with_image(y_m.image).with_slots_of(y_m)
            result = result.paste(rows, aggregate.detach().slots(0, slots))
            real = None if self.real is None else self.real[rows]
            yield MiniBatch(source, real, rows, start, x_m, y_m, aggregate, result)


class OneMiniBatch:
    """A batch that is translated as a whole, as methods do that do not take instances one after the other."""

    def __init__(self, translate: Translate, source: InstanceBatch, real: InstanceBatch | None = None) -> None:
        self.translate, self.source, self.real = translate, source, real
        self.rows = [torch.arange(len(source))]

    def __iter__(self) -> Iterator[MiniBatch]:
        made = self.translate(self.source)
        yield MiniBatch(self.source, self.real, self.rows[0], 0, self.source, made, made, made.detach())


def translate_in_order(
    translate: Translate, source: InstanceBatch, order: Tensor, ins_per: int, ins_max: int | None = None
) -> InstanceBatch:
    """The pictures with their instances translated, slots as they are in ``source``.

    order (B, N) long: the slots of each row as they are taken; after the first ``ins_max`` (None: all) the rest come
    out absent. A picture without instances comes out unchanged.
    """
    taken = source.select(order[:, :ins_max])
    result = taken.slots(0, 0).slots(0, taken.slot_count)  # the picture; no instance translated yet
    for mini_batch in SequentialMiniBatches(translate, taken, ins_per):
        result = mini_batch.result
    return result.slots(0, source.slot_count).select(order.argsort(dim=1))
