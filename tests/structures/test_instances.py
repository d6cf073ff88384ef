"""Laws of the noun that crosses every border."""

import dataclasses

import pytest
import torch

from instagan.structures.instances import OUTSIDE, InstanceBatch, UnpairedBatch
from tests.batches import assert_same, random_batch, random_pair


def test_absent_slots_are_outside_everywhere():
    batch = random_batch([3, 0, 1], slots=5)
    assert batch.present.sum(1).tolist() == [3, 0, 1]
    assert (batch.masks[~batch.present] == OUTSIDE).all()


def test_a_batch_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        random_batch([1]).image = torch.zeros(1, 3, 8, 8)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("image", torch.zeros(2, 4, 8, 8)),
        ("image", torch.zeros(2, 3, 8, 8, dtype=torch.uint8)),
        ("image", torch.zeros(2, 3, 8, 9)),
        ("masks", torch.zeros(3, 2, 8, 8)),
        ("masks", torch.zeros(2, 2, 8, 8, dtype=torch.bool)),
        ("present", torch.zeros(2, 3, dtype=torch.bool)),
        ("present", torch.zeros(2, 2)),
        ("labels", torch.zeros(2, 2)),
        ("labels", torch.zeros(2, 1, dtype=torch.long)),
        ("labels", torch.zeros(2, 2, dtype=torch.long, device="meta")),
    ],
)
def test_wrong_shapes_types_and_devices_are_refused(name, wrong):
    right = {
        "image": torch.zeros(2, 3, 8, 8),
        "masks": torch.zeros(2, 2, 8, 8),
        "present": torch.zeros(2, 2, dtype=torch.bool),
        "labels": torch.zeros(2, 2, dtype=torch.long),
    }
    InstanceBatch(**right)
    with pytest.raises(ValueError, match=r"must be|do not fit"):
        InstanceBatch(**right | {name: wrong})


def test_a_plain_picture_is_a_batch_without_slots():
    batch = InstanceBatch.from_images(torch.rand(2, 3, 8, 8))
    assert batch.slot_count == 0
    assert (batch.union() == OUTSIDE).all()
    assert batch.boxes().shape == (2, 0, 4)
    assert_same(batch.largest(3), batch)
    assert not batch.slots(0, 2).present.any()


def test_slots_always_gives_as_many_as_asked_for():
    batch = random_batch([2, 1], slots=3)
    for start, stop in ((0, 2), (2, 4), (3, 5), (5, 7), (1, 1)):
        cut = batch.slots(start, stop)
        assert cut.slot_count == stop - start
        within = cut.slots(0, max(0, 3 - start))
        assert torch.equal(within.masks[:, : stop - start], batch.masks[:, start:stop])
        assert not cut.present[:, max(0, 3 - start) :].any()
        assert (cut.masks[:, max(0, 3 - start) :] == OUTSIDE).all()


def test_largest_takes_the_largest_of_every_row_in_falling_order():
    batch = random_batch([5, 2, 0], slots=6, seed=3)
    chosen = batch.largest(3)
    area = (chosen.masks > 0).sum((2, 3))
    assert chosen.present.sum(1).tolist() == [3, 2, 0]
    assert (area.diff(dim=1) <= 0).all()
    smallest_kept = area[0, 2]
    dropped = sorted((batch.masks > 0).sum((2, 3))[0].tolist())[: 6 - 3]
    assert smallest_kept >= max(dropped)


def test_first_keeps_slot_order_and_skips_absent_slots():
    batch = random_batch([3, 1], slots=6, seed=1)
    chosen = batch.first(2)
    for row in range(2):
        expected = batch.masks[row][batch.present[row]][:2]
        assert torch.equal(chosen.masks[row][chosen.present[row]], expected)
    assert chosen.present[1].tolist() == [True, False]


def test_an_order_can_be_undone():
    batch = random_batch([4, 2, 0], slots=5)
    order = batch.order_by_area()
    assert_same(batch.select(order).select(order.argsort(dim=1)), batch)


def test_rows_and_cat_are_inverse_and_pad_slots():
    one, two = random_batch([2]), random_batch([1, 0], slots=1, seed=5)
    both = InstanceBatch.cat([one, two])
    assert both.slot_count == 2 and len(both) == 3
    assert_same(both[:1], one)
    assert_same(both[[1, 2]].slots(0, 1), two)
    assert_same(both[torch.tensor([2])].slots(0, 1), two[[1]])


def test_paste_changes_only_the_rows_named_and_lets_gradients_through():
    batch, other = random_batch([2, 1, 2]), random_batch([1, 2], seed=9)
    other.image.requires_grad_()
    rows = torch.tensor([2, 0])
    pasted = batch.paste(rows, other)
    assert_same(pasted[[1]], batch[[1]])
    assert_same(pasted[rows].detach(), other.detach())
    pasted.image.sum().backward()
    assert (other.image.grad == 1).all()


def test_union_covers_exactly_the_instances():
    batch = random_batch([3, 0], slots=4)
    assert torch.equal(batch.union()[:, 0] > 0, (batch.masks > 0).any(1))
    assert set(batch.union().unique().tolist()) <= {-1.0, 1.0}


def test_boxes_are_tight():
    masks = torch.full((1, 3, 10, 12), -1.0)
    masks[0, 0, 2:5, 3:9] = 1
    masks[0, 2, 9, 11] = 1
    batch = InstanceBatch.from_masks(torch.zeros(1, 3, 10, 12), masks)
    assert batch.boxes()[0].tolist() == [[3, 2, 9, 5], [0, 0, 0, 0], [11, 9, 12, 10]]


def test_labels_travel_with_their_slots():
    batch = random_batch([3], slots=3)
    labelled = InstanceBatch(batch.image, batch.masks, batch.present, torch.tensor([[4, 5, 6]]))
    order = labelled.order_by_area()
    assert labelled.select(order).labels.tolist() == [[[4, 5, 6][slot] for slot in order[0].tolist()]]
    assert labelled.slots(2, 4).labels.tolist() == [[6, 0]]


def test_detach_cuts_gradients():
    batch = random_batch([1])
    batch.image.requires_grad_()
    assert not batch.with_image(batch.image * 2).detach().image.requires_grad


def test_both_domains_have_the_same_number_of_rows():
    pair = random_pair([1, 2], [0, 1])
    assert len(pair) == 2
    with pytest.raises(ValueError, match="same number"):
        UnpairedBatch(pair.a, pair.b[[0]], pair.a_paths, pair.b_paths)
    moved = pair.to("cpu", non_blocking=True)
    assert_same(moved.a, pair.a)
    assert moved.a_paths == pair.a_paths


def test_domains_and_paths_are_found_by_their_letter():
    pair = random_pair([1, 2, 0], [0, 1, 3])
    assert list(pair.domains) == list(pair.paths) == ["A", "B"]
    assert pair["A"].present.sum(1).tolist() == [1, 2, 0] and pair["B"].present.sum(1).tolist() == [0, 1, 3]
    assert pair.paths["A"] == ("a0", "a1", "a2") and pair.paths["B"] == ("b0", "b1", "b2")
    with pytest.raises(KeyError):
        pair["C"]
