"""Laws of the noun that crosses every border."""

import dataclasses

import pytest
import torch

from instagan.structures import instances
from instagan.structures.boxes import rasterise
from instagan.structures.instances import FIELDS, OUTSIDE, InstanceBatch, UnpairedBatch, alike
from tests.batches import assert_same, boxes_only, every_field, pair_of, random_batch, random_pair

CARRYING = [random_batch, boxes_only, every_field]
"""What makes batches: of masks alone, of boxes alone, of all that there is."""


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
        ("image", torch.zeros(2, 3, 8)),
        ("image", torch.zeros(2, 3, 8, 8, dtype=torch.uint8)),
        ("image", torch.zeros(2, 3, 8, 9)),
        ("given_masks", torch.zeros(3, 2, 8, 8)),
        ("given_masks", torch.zeros(2, 2, 8, 8, dtype=torch.bool)),
        ("present", torch.zeros(2, 3, dtype=torch.bool)),
        ("present", torch.zeros(2, 2)),
        ("labels", torch.zeros(2, 2)),
        ("labels", torch.zeros(2, 1, dtype=torch.long)),
        ("labels", torch.zeros(2, 2, dtype=torch.long, device="meta")),
        ("given_boxes", torch.zeros(2, 2, 5)),
        ("given_boxes", torch.zeros(2, 2, 4, dtype=torch.long)),
        ("keypoints", torch.zeros(2, 3, 17, 3)),
        ("targets", torch.zeros(2, 2)),
        ("given_attributes", torch.zeros(2, 2, 4, 8, 9)),
    ],
)
def test_wrong_shapes_types_and_devices_are_refused(name, wrong):
    right = {
        "image": torch.zeros(2, 3, 8, 8),
        "given_masks": torch.zeros(2, 2, 8, 8),
        "present": torch.zeros(2, 2, dtype=torch.bool),
        "labels": torch.zeros(2, 2, dtype=torch.long),
        "given_boxes": torch.zeros(2, 2, 4),
        "keypoints": torch.zeros(2, 2, 17, 3),
        "targets": torch.zeros(2, 2, dtype=torch.long),
        "given_attributes": torch.zeros(2, 2, 4, 8, 8),
    }
    InstanceBatch(**right)
    with pytest.raises(ValueError, match="must be"):
        InstanceBatch(**right | {name: wrong})


def test_a_plain_picture_is_a_batch_without_slots():
    batch = InstanceBatch.from_images(torch.rand(2, 3, 8, 8))
    assert batch.slot_count == 0
    assert (batch.union() == OUTSIDE).all()
    assert batch.boxes.shape == (2, 0, 4)
    assert_same(batch.largest(3), batch)
    assert not batch.slots(0, 2).present.any()


def test_masks_or_boxes_must_be_given():
    batch = random_batch([1, 0, 2])
    with pytest.raises(ValueError, match="masks or boxes"):
        InstanceBatch(batch.image, None, batch.present, batch.labels)


def test_any_number_of_channels_will_do():
    assert InstanceBatch.from_images(torch.rand(3, 5, 8, 8)).slots(0, 2).masks.shape == (3, 2, 8, 8)


@pytest.mark.parametrize("make", CARRYING)
def test_every_field_of_an_absent_slot_has_its_value(make):
    batch = make([3, 0, 1], slots=4)
    for made in (batch, batch.slots(1, 7), batch.largest(2), InstanceBatch.cat([batch, make([5])])):
        for name, tensor in made.fields().items():
            if FIELDS[name].has_slots:
                assert (tensor[~made.present] == FIELDS[name].absent).all(), name
        assert (made.masks[~made.present] == OUTSIDE).all() and (made.boxes[~made.present] == 0).all()


@pytest.mark.parametrize("make", CARRYING)
def test_every_operation_carries_every_field(make):
    """Slots, rows, orders, joining and pasting move the tensors of an instance together."""
    batch = make([3, 0, 2], slots=4, seed=2)
    again = InstanceBatch.cat([batch[:1], batch[[1]], batch[torch.tensor([2])]])
    assert_same(again, batch)
    assert_same(batch.slots(0, 2).with_slots_of(batch.slots(2, 4)), batch)
    assert_same(batch.select(torch.tensor([[3, 1, 0, 2]] * 3)).select(torch.tensor([[2, 1, 3, 0]] * 3)), batch)
    other = make([1, 4], slots=4, seed=7)
    pasted = batch.paste(torch.tensor([2, 0]), other)
    assert_same(pasted, InstanceBatch.cat([other[[1]], batch[[1]], other[[0]]]))
    moved = batch.to("meta")
    assert all(tensor.is_meta != FIELDS[name].on_cpu for name, tensor in moved.fields().items())
    assert moved.fields().keys() == batch.fields().keys() == batch.detach().fields().keys()
    assert_same(batch.first(4).largest(4), batch.largest(4))


@pytest.mark.parametrize("other", [boxes_only, random_batch])
def test_masks_and_boxes_that_only_some_rows_have_are_derived(other):
    """Each row has the masks and boxes that it has alone."""
    parts = [every_field([2, 0, 1]).rasterised(), other([1, 3, 0], seed=4), boxes_only([2], seed=9)]
    parts[0] = dataclasses.replace(parts[0], given_attributes=None, targets=None, strengths=None, ranks=None)
    joined = InstanceBatch.cat(parts)
    for row, alone in enumerate(part[[row]] for part in parts for row in range(len(part))):
        padded = alone.slots(0, joined.slot_count)
        assert torch.equal(joined[[row]].masks, padded.masks)
        assert torch.equal(joined[[row]].boxes, padded.boxes)


def test_fields_that_cannot_be_derived_are_filled_where_nothing_is_and_refused_elsewhere():
    known = every_field([1, 2, 0])
    bare = InstanceBatch.from_images(torch.zeros(2, 3, 32, 32))
    joined = InstanceBatch.cat([known, bare])
    assert joined.keypoints.shape == (5, 2, 5, 3) and (joined.keypoints[3:] == 0).all()
    assert (joined.targets[3:] == 0).all() and joined.targets.dtype == torch.long
    for name in ("keypoints", "targets"):
        unknown = dataclasses.replace(known, **{name: None})
        with pytest.raises(ValueError, match=f"has {name} and another has none"):
            InstanceBatch.cat([known, unknown])
        assert InstanceBatch.cat([unknown, unknown]).fields().keys() == unknown.fields().keys()


def test_batches_that_are_alike_stay_as_they_are():
    batches = [boxes_only([1, 2, 0]), boxes_only([2])]
    assert all(one is other for one, other in zip(alike(batches), batches, strict=True))


def test_boxes_become_masks_where_the_data_has_no_others():
    batch = boxes_only([3, 0, 2], slots=3)
    assert torch.equal(batch.masks > 0, rasterise(batch.boxes, 32, 32))
    assert batch.masks.dtype == batch.image.dtype and set(batch.masks.unique().tolist()) == {-1.0, 1.0}
    rasterised = batch.rasterised()
    assert torch.equal(rasterised.given_masks, batch.masks) and rasterised.given_boxes is None
    assert torch.equal(batch.union() > 0, (batch.masks > 0).any(1, keepdim=True))
    seen = random_batch([2, 0, 1])
    assert_same(seen.rasterised(), seen)


def test_boxes_alone_are_ordered_by_their_area():
    batch = boxes_only([5, 2, 0], slots=6, seed=3)
    chosen = batch.largest(3)
    sides = chosen.boxes[..., 2:] - chosen.boxes[..., :2]
    assert chosen.present.sum(1).tolist() == [3, 2, 0]
    assert (sides.prod(2).diff(dim=1) <= 0).all()


def test_masks_and_boxes_are_derived_once_and_only_when_asked_for(monkeypatch):
    asked = []
    for name in ("boxes_of_masks", "rasterise"):
        derive = getattr(instances, name)
        monkeypatch.setattr(instances, name, lambda *args, n=name, d=derive: asked.append(n) or d(*args))
    for make, name in ((random_batch, "boxes"), (boxes_only, "masks")):
        batch = make([2, 0, 3])
        asked.clear()
        moved = InstanceBatch.cat([batch.largest(2), batch.first(1), batch[[1]]]).slots(0, 5).detach()
        moved.paste(torch.tensor([1]), moved[[2]]).with_slots_of(moved).to("cpu").instances()
        assert asked == []
        assert getattr(moved, name) is getattr(moved, name)
        assert len(asked) == 1


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
    assert batch.boxes[0].tolist() == [[3, 2, 9, 5], [0, 0, 0, 0], [11, 9, 12, 10]]


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
        pair_of(pair["A"], pair["B"][[0]])
    with pytest.raises(ValueError, match="same domains"):
        UnpairedBatch(pair.domains, {"A": pair.paths["A"]})
    moved = pair.to("cpu", non_blocking=True)
    assert_same(moved["A"], pair["A"])
    assert moved.paths["A"] == pair.paths["A"]


def test_domains_and_paths_are_found_by_their_letter():
    pair = random_pair([1, 2, 0], [0, 1, 3])
    assert list(pair.domains) == list(pair.paths) == ["A", "B"]
    assert pair["A"].present.sum(1).tolist() == [1, 2, 0] and pair["B"].present.sum(1).tolist() == [0, 1, 3]
    assert pair.paths["A"] == ("a0", "a1", "a2") and pair.paths["B"] == ("b0", "b1", "b2")
    with pytest.raises(KeyError):
        pair["C"]
    three = UnpairedBatch({**pair.domains, "C": pair["A"]}, {**pair.paths, "C": ("c0", "c1", "c2")})
    assert_same(three.changed(lambda batch: batch.slots(0, 1))["C"], pair["A"].slots(0, 1))
