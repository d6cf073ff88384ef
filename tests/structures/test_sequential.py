"""Laws of sequential mini-batch translation."""

import pytest
import torch
from torch import nn

from instagan.networks.generators import SetGenerator
from instagan.structures.instances import InstanceBatch
from instagan.structures.sequential import SequentialMiniBatches
from tests.batches import assert_same, random_batch


class Shift(nn.Module):
    """A stand-in for G whose effect is known: adds a learnt value to the picture, negates nothing, keeps masks."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: InstanceBatch) -> InstanceBatch:
        return InstanceBatch(x.image + self.value, x.masks * self.value, x.present, x.labels)


@pytest.mark.parametrize(("ins_per", "steps"), [(1, 5), (2, 3), (3, 2), (5, 1), (9, 1)])
def test_number_and_contents_of_the_mini_batches(ins_per, steps):
    source = random_batch([5, 2, 0, 3]).largest(5)
    items = list(SequentialMiniBatches(Shift(), source, ins_per))
    assert len(items) == steps
    for step, item in enumerate(items):
        expected_rows = [row for row, count in enumerate([5, 2, 0, 3]) if count > step * ins_per]
        assert item.rows.tolist() == expected_rows
        assert item.source.slot_count == item.translated.slot_count == ins_per
        assert_same(
            item.source, source[item.rows].slots(step * ins_per, (step + 1) * ins_per).with_image(item.source.image)
        )
        assert item.aggregate.present.sum(1).tolist() == [
            min(c, (step + 1) * ins_per) for c in (5, 2, 0, 3) if c > step * ins_per
        ]


def test_each_step_starts_from_the_last_ones_picture_and_finished_rows_keep_theirs():
    source = random_batch([4, 1, 0]).largest(4)
    items = list(SequentialMiniBatches(Shift(), source, 1))
    for step, item in enumerate(items):
        assert torch.equal(item.translated.image, item.source.image + 1)
        torch.testing.assert_close(item.source.image, source.image[item.rows] + step)
    torch.testing.assert_close(
        items[-1].result.image - source.image, torch.tensor([4.0, 1, 0]).view(3, 1, 1, 1).expand_as(source.image)
    )
    assert_same(items[-1].result.with_image(source.image), source)


def test_steps_see_the_weights_of_the_moment_they_are_asked_for():
    translate, source = Shift(), random_batch([3]).largest(3)
    items = iter(SequentialMiniBatches(translate, source, 1))
    first = next(items)
    with torch.no_grad():
        translate.value.fill_(10.0)
    second = next(items)
    assert torch.equal(first.translated.image, source.image + 1)
    assert torch.equal(second.translated.image, source.image + 11)


def test_no_gradient_flows_between_steps():
    translate, source = Shift(), random_batch([4]).largest(4)
    first, second = SequentialMiniBatches(translate, source, 2)
    assert not second.source.image.requires_grad
    assert not second.result.image.requires_grad and not second.result.masks.requires_grad
    gradient = torch.autograd.grad(
        second.aggregate.masks[:, :2].sum(), translate.value, allow_unused=True, retain_graph=True
    )
    assert gradient[0] is None or gradient[0] == 0  # earlier masks of the aggregate are detached
    (of_new,) = torch.autograd.grad(second.aggregate.masks[:, 2:].sum(), translate.value)
    assert of_new == second.source.masks.sum()


def test_aggregate_holds_the_masks_of_all_steps_so_far():
    source = random_batch([3]).largest(3)
    *_, last = SequentialMiniBatches(Shift(), source, 2)
    assert torch.equal(last.aggregate.masks[:, :3], source.masks)
    assert torch.equal(last.aggregate.image, last.translated.image)


def test_rows_translate_the_same_alone_and_together():
    torch.manual_seed(0)
    generator = SetGenerator(4, blocks=1).double()
    source = random_batch([4, 1, 0], dtype=torch.float64).largest(4)
    with torch.no_grad():
        *_, together = SequentialMiniBatches(generator, source, 2)
        for row in range(3):
            alone = source[[row]]
            for item in SequentialMiniBatches(generator, source[[row]], 2):
                alone = item.result
            assert_same(together.result[[row]], alone, 1e-9)


def test_nothing_to_translate_gives_nothing():
    assert list(SequentialMiniBatches(Shift(), random_batch([0, 0], slots=3), 2)) == []
    assert list(SequentialMiniBatches(Shift(), random_batch([0], slots=0), 2)) == []


def test_an_instance_behind_absent_slots_is_not_forgotten():
    source = random_batch([1], slots=1).slots(0, 4).select(torch.tensor([[1, 2, 3, 0]]))
    (item,) = SequentialMiniBatches(Shift(), source, 2)
    assert item.result.present.tolist() == [[False, False, False, True]]
