"""Sequential mini-batch translation (paper section 2.3): a few instances at a time, on the last step's picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from instagan.structures.instances import InstanceBatch


@dataclass(frozen=True, eq=False)
class MiniBatch:
    """One step m of a sequential translation; R rows of the batch are in play.

    rows        (R,) long on the CPU: which rows of the batch
    source      (x_m, a_m): R rows, ins_per slots
    translated  (y_m, b_m) = G(x_m, a_m): R rows, ins_per slots; carries gradients of this step only
    aggregate   (y_m, b_1 ... b_m): R rows, earlier masks detached; what the discriminator sees
    result      all B rows and N slots after this step, detached; rows that are out of play keep their picture
    """

    rows: Tensor
    source: InstanceBatch
    translated: InstanceBatch
    aggregate: InstanceBatch
    result: InstanceBatch


def sequential_mini_batches(
    translate: Callable[[InstanceBatch], InstanceBatch], source: InstanceBatch, ins_per: int
) -> Iterator[MiniBatch]:
    """Cuts the slots of ``source`` into mini-batches of ``ins_per`` and translates one after the other.

    x_1 = x and x_{m+1} = y_m detached. Slots are taken in the order given (see ``InstanceBatch.largest``). A row is
    in play as long as its mini-batch holds an instance; a step without any row in play is left out. Lazy on purpose:
    the next mini-batch is translated when it is asked for, with the weights of that moment.
    """
    slots = source.slot_count
    in_play = [source.slots(start, start + ins_per).present.any(1) for start in range(0, slots, ins_per)]
    result = InstanceBatch.from_images(source.image).slots(0, slots).detach()
    for step, playing in enumerate(in_play):
        rows = playing.nonzero()[:, 0]  # (R,)
        if len(rows) == 0:
            continue
        start, stop = step * ins_per, (step + 1) * ins_per
        x_m = source.slots(start, stop).with_image(result.image)[rows]
        y_m = translate(x_m)
        aggregate = result.slots(0, start)[rows].with_image(y_m.image).with_slots_of(y_m)
        result = result.paste(rows, aggregate.detach().slots(0, slots))
        yield MiniBatch(rows, x_m, y_m, aggregate, result)


def translate_in_order(
    translate: Callable[[InstanceBatch], InstanceBatch],
    source: InstanceBatch,
    order: Tensor,
    ins_per: int,
    ins_max: int | None = None,
) -> InstanceBatch:
    """The pictures with their instances translated, slots as they are in ``source``.

    order (B, N) long: the slots of each row as they are taken; after the first ``ins_max`` (None: all) the rest come
    out absent. A picture without instances comes out unchanged.
    """
    taken = source.select(order[:, :ins_max])
    result = taken.slots(0, 0).slots(0, taken.slot_count)  # the picture; no instance translated yet
    for mini_batch in sequential_mini_batches(translate, taken, ins_per):
        result = mini_batch.result
    return result.slots(0, source.slot_count).select(order.argsort(dim=1))
