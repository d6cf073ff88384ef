"""Losses on inputs whose answers are known."""

import pytest
import torch

from instagan.losses import context_l1, lsgan, set_l1, vanilla
from instagan.structures.instances import InstanceBatch
from tests.batches import random_batch


def test_lsgan_is_the_squared_distance_from_one_or_zero():
    scores = torch.tensor([[0.5, 1.0], [2.0, -1.0]]).view(2, 1, 1, 2)
    assert lsgan(scores, True).tolist() == pytest.approx([(0.25 + 0) / 2, (1 + 4) / 2])  # a value for each row
    assert lsgan(scores, False).tolist() == pytest.approx([(0.25 + 1) / 2, (4 + 1) / 2])


def test_vanilla_takes_logits():
    scores = torch.tensor([0.0, 3.0, -2.0]).view(1, 1, 1, 3)
    assert vanilla(scores, True).item() == pytest.approx(-torch.sigmoid(scores).log().mean().item(), rel=1e-6)
    assert vanilla(scores, False).item() == pytest.approx(-(1 - torch.sigmoid(scores)).log().mean().item(), rel=1e-6)


def test_set_l1_counts_absent_channels_in_the_mean():
    real = random_batch([1], slots=1)
    moved = InstanceBatch(real.image + 0.5, real.masks, real.present, real.labels)
    assert set_l1(moved, real).item() == pytest.approx(0.5 * 3 / 4)
    assert set_l1(moved.slots(0, 2), real.slots(0, 2)).item() == pytest.approx(0.5 * 3 / 5)


def test_context_loss_is_zero_when_only_instances_change():
    source, target = random_batch([2, 1], seed=1), random_batch([2, 1], seed=2)
    inside = (source.union() > 0) | (target.union() > 0)  # where a or b' is
    image = torch.where(inside, torch.rand_like(source.image), source.image)
    translated = target.with_image(image)
    assert context_l1(source, translated).tolist() == [0, 0]
    spoiled = image.clone()
    background = (~inside)[0, 0].nonzero()[0]
    spoiled[0, 1, background[0], background[1]] += 0.25
    first, second = context_l1(source, translated.with_image(spoiled)).tolist()
    assert second == 0
    assert first == pytest.approx(0.25 / image[0].numel(), rel=1e-4)  # over all pixels, not only those with weight


def test_context_weight_falls_off_where_the_translated_mask_is_soft():
    source = random_batch([0], slots=1)
    mask = torch.full_like(source.masks, -1.0)
    mask[..., :16] = 0.0  # half inside
    translated = InstanceBatch(source.image + 1, mask, torch.ones_like(source.present), source.labels)
    assert context_l1(source, translated).item() == pytest.approx(0.75)
