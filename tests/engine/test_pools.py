"""The image pools of several ranks are the pool of one process."""

from __future__ import annotations

import torch

from engine.parallel import World
from engine.pools import show_pool
from instagan.structures.image_pool import ImagePool
from instagan.structures.instances import InstanceBatch
from tests.batches import assert_same, boxes_only, every_field, random_batch
from tests.ranks import on_ranks


def fakes(step: int) -> list[list[InstanceBatch]]:
    """Of both ranks: batches with different rows, slots and fields, on one rank sometimes none."""
    many = [every_field([2, 0, 3], seed=step), every_field([1], seed=step + 40)]
    return [many, [[], [every_field([4], seed=step + 80)]][step % 2]]


def shown(world: World) -> list[list[dict[str, torch.Tensor]]]:
    pool = ImagePool(3, seed=1)
    steps = [show_pool(pool, fakes(step)[world.rank], world, torch.device("cpu")) for step in range(6)]
    return [[batch.fields() for batch in of_step] for of_step in steps]


def test_ranks_are_shown_what_one_process_is_shown_with_every_field(tmp_path):
    pool = ImagePool(3, seed=1)
    alone = [[[pool.query(fake) for fake in of_rank] for of_rank in fakes(step)] for step in range(6)]
    for rank, of_rank in enumerate(on_ranks(2, tmp_path, shown)):
        for step, batches in enumerate(of_rank):
            assert len(batches) == len(alone[step][rank])
            for tensors, expected in zip(batches, alone[step][rank], strict=True):
                assert_same(InstanceBatch.from_fields(tensors), expected)


def exchanged(world: World) -> list[dict[str, torch.Tensor]]:
    mine = [boxes_only([1, 2, 0]), random_batch([2, 0])][world.rank]
    return [batch.fields() for batch in show_pool(ImagePool(9), [mine], world, torch.device("cpu"))]


def test_ranks_may_carry_different_fields(tmp_path):
    of_ranks = on_ranks(2, tmp_path, exchanged)
    for made, expected in zip(of_ranks, (boxes_only([1, 2, 0]), random_batch([2, 0])), strict=True):
        assert_same(InstanceBatch.from_fields(made[0]), expected)
