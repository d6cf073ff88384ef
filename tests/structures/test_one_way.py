"""A generator used in one direction: its loop over instances, what it is given to look at, styles."""

import pytest
import torch

from instagan.errors import InputError
from instagan.structures.instances import InstanceBatch
from instagan.structures.one_way import OneWayTranslator
from tests.batches import assert_same, random_batch


class Recorder:
    """A generator that notes the slots of every call, and the style, and makes pictures darker."""

    def __init__(self) -> None:
        self.calls: list[list[list[int]]] = []
        self.styles: list[object] = []

    def __call__(self, x: InstanceBatch, style: object = None) -> InstanceBatch:
        self.calls.append([(row.masks[0].flatten(1) > 0).sum(1).tolist() for row in (x[[k]] for k in range(len(x)))])
        self.styles.append(style)
        return x.with_image(x.image * 0.5 - 0.5)


def batch(*areas: int) -> InstanceBatch:
    """One picture with an instance of each of these areas, 0 for an absent slot."""
    masks = torch.full((1, len(areas), 8, 8), -1.0)
    for slot, area in enumerate(areas):
        masks[0, slot].view(-1)[:area] = 1.0
    present = torch.tensor([[area > 0 for area in areas]])
    return InstanceBatch(torch.zeros(1, 3, 8, 8), masks, present, torch.zeros_like(present, dtype=torch.long))


@pytest.mark.parametrize(
    "how, told, calls",
    [
        ({"ins_per": 2}, {}, [[[9, 5]], [[3, 0]]]),
        ({"ins_per": 2, "set_order": "random"}, {}, [[[3, 9]], [[5, 0]]]),
        ({"ins_per": 2}, {"in_order": True}, [[[3, 0]], [[9, 5]]]),
        ({"ins_per": 2}, {"ins_per": 3}, [[[9, 5, 3]]]),
        ({"ins_per": 1, "ins_max": 2}, {}, [[[9]], [[5]]]),
        ({"ins_per": 1, "ins_max": 2}, {"ins_max": 1}, [[[9]]]),
        ({}, {}, [[[3, 0, 9, 5]]]),
    ],
)
def test_instances_are_taken_as_it_says(how, told, calls):
    generator = Recorder()
    OneWayTranslator(generator, ("masks",), **how)(batch(3, 0, 9, 5), **told)
    # rows are filled up with absent slots
    assert [[sizes[: len(expected)] for sizes, expected in zip(*pair, strict=True)] for pair in
            zip(generator.calls, calls, strict=True)] == calls


def test_a_generator_that_needs_no_masks_is_shown_none():
    generator = Recorder()
    made = OneWayTranslator(generator)(random_batch([2, 1]))
    assert generator.calls == [[[], []]] and made.slot_count == 0


def test_a_picture_without_instances_is_unchanged_where_they_are_taken_one_after_the_other():
    source = batch(0, 0)
    assert_same(OneWayTranslator(Recorder(), ("masks",), ins_per=1)(source), source)


@pytest.mark.parametrize("ins_per", [None, 1])
def test_a_style_is_handed_through_where_it_is_needed_and_refused_elsewhere(ins_per):
    generator, style = Recorder(), torch.ones(1, 8)
    OneWayTranslator(generator, ("masks", "style"), ins_per)(batch(3, 4), style=style)
    OneWayTranslator(generator, ("masks", "style"), ins_per)(batch(3, 4))
    each = 1 if ins_per is None else 2
    assert [one is style for one in generator.styles] == [True] * each + [False] * each
    with pytest.raises(InputError, match="translates without a style; drop it"):
        OneWayTranslator(generator, ("masks",), ins_per)(batch(3), style=style)


def test_a_generator_of_no_kind_has_no_description():
    assert OneWayTranslator(Recorder()).description() == {}
