"""The patch contrastive loss on features whose answers are known, and the positions that it looks at."""

import math

import pytest
import torch
from torch.nn import functional

from instagan.losses.patch_nce import at_positions, draw_positions, patch_nce


def unit_features(rows: int, count: int, channels: int, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn((rows, count, channels), generator=random), dim=-1)


def test_features_that_are_all_alike_cannot_be_told_apart():
    features = unit_features(3, 1, 8).expand(-1, 16, -1)
    torch.testing.assert_close(patch_nce(features, features), torch.full((3, 16), math.log(16)))


def test_features_that_are_far_apart_cost_nothing():
    features = torch.eye(16)[None].repeat(3, 1, 1)
    assert patch_nce(features, features).max() < 1e-4
    assert patch_nce(features, features.roll(1, 1)).min() > 10  # the right key is at another position


def test_it_is_the_cross_entropy_of_one_positive_and_the_other_positions_of_the_picture():
    query, key = unit_features(3, 5, 4), unit_features(3, 5, 4, seed=1)
    losses = patch_nce(query, key, 0.2)
    for row in range(3):
        for place in range(5):
            logits = [query[row, place] @ key[row, other] / 0.2 for other in range(5)]
            positive = logits.pop(place)
            expected = -(positive - torch.stack([positive, *logits]).logsumexp(0))
            torch.testing.assert_close(losses[row, place], expected)


def test_keys_receive_no_gradient_and_queries_do():
    query, key = unit_features(2, 5, 4).requires_grad_(), unit_features(2, 5, 4, seed=1).requires_grad_()
    patch_nce(query, key).sum().backward()
    assert key.grad is None and query.grad.norm() > 0


def test_positions_differ_within_a_picture_and_depend_on_its_generator_alone():
    seeded = [torch.Generator().manual_seed(seed) for seed in (1, 2, 1)]
    positions = draw_positions(20, torch.empty(3, 1, 6, 7), seeded)
    assert positions.shape == (3, 20) and positions.min() >= 0 and positions.max() < 42
    assert all(len(set(row.tolist())) == 20 for row in positions)
    assert torch.equal(positions[0], positions[2]) and not torch.equal(positions[0], positions[1])


def test_a_small_map_gives_all_its_positions():
    (positions,) = draw_positions(20, torch.empty(1, 1, 3, 4), [torch.Generator().manual_seed(0)])
    assert sorted(positions.tolist()) == list(range(12))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_features_are_taken_where_the_positions_say(layout):
    features = torch.randn(3, 4, 5, 6).to(memory_format=layout)
    positions = draw_positions(7, features, [torch.Generator().manual_seed(seed) for seed in range(3)])
    taken = at_positions(features, positions)
    assert taken.shape == (3, 7, 4)
    for row in range(3):
        for place, position in enumerate(positions[row].tolist()):
            assert torch.equal(taken[row, place], features[row, :, position // 6, position % 6])
    assert torch.equal(at_positions(features, positions[0]), at_positions(features, positions[:1].repeat(3, 1)))
