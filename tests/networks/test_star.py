"""Networks of many domains: sets of (mask, target) pairs, in any order, and what their targets change."""

import dataclasses

import pytest
import torch

from instagan.networks.blocks import initialise
from instagan.networks.star import ClassifyingSetDiscriminator, TargetedSetGenerator
from instagan.structures.instances import InstanceBatch
from tests.batches import assert_same, random_batch

K = 4


@pytest.fixture(scope="module")
def generator() -> TargetedSetGenerator:
    torch.manual_seed(0)
    made = TargetedSetGenerator(4, "instance", 1, "a,b,c,d").double()
    initialise(made, "xavier", 1.0)
    return made.requires_grad_(False)


@pytest.fixture(scope="module")
def discriminator() -> ClassifyingSetDiscriminator:
    torch.manual_seed(0)
    return ClassifyingSetDiscriminator(4, 2, "instance", K).double().eval().requires_grad_(False)


def targeted(counts: list[int], slots: int | None = None) -> InstanceBatch:
    """Every instance is to become another category than the one beside it."""
    batch = random_batch(counts, slots, dtype=torch.float64)
    labels = torch.arange(batch.slot_count) % K * batch.present
    return dataclasses.replace(batch, labels=labels, targets=(labels + 1) % K * batch.present)


def test_permuting_pairs_of_mask_and_target_permutes_masks_and_leaves_the_picture(generator):
    x, order = targeted([3, 2]), torch.tensor([[2, 0, 1], [1, 2, 0]])
    assert_same(generator(x.select(order)), generator(x).select(order), 1e-9)
    apart = dataclasses.replace(x, targets=x.targets.gather(1, order))  # targets alone: other pairs
    assert (generator(apart).image - generator(x).image).abs().max() > 1e-3


def test_a_row_gives_the_same_alone_and_in_a_batch_and_absent_slots_are_inert(generator, discriminator):
    x = targeted([2, 3, 0, 1])
    made, judged = generator(x), discriminator(x)
    assert_same(generator(x[1:2]), made[1:2], 1e-9)
    more = x.slots(0, 6)
    assert_same(generator(more).slots(0, 3), made, 1e-9)
    again = discriminator(more)
    for name in ("score", "of_picture", "of_look", "of_mask"):
        torch.testing.assert_close(getattr(again, name), getattr(judged, name), rtol=0, atol=1e-9)


def test_every_target_makes_another_picture_and_mask_and_is_the_label_of_what_comes_out(generator):
    x = targeted([1])
    made = [generator(dataclasses.replace(x, targets=torch.full_like(x.targets, k))) for k in range(K)]
    for number, one in enumerate(made):
        assert one.labels.tolist() == [[number]]
        for other in made[:number]:
            assert (one.image - other.image).abs().max() > 1e-3 and (one.masks - other.masks).abs().max() > 1e-3


def test_looks_are_told_within_the_mask_and_masks_by_themselves(discriminator):
    x = targeted([2])
    judged = discriminator(x)
    elsewhere = discriminator(x.with_image(-x.image))
    assert torch.equal(judged.of_mask, elsewhere.of_mask)
    assert (judged.of_look - elsewhere.of_look).abs().amax(1).min() > 1e-6
    x.masks.requires_grad_()
    judged = discriminator(x)
    assert judged.of_mask.requires_grad and judged.score.requires_grad and not judged.of_look.requires_grad
