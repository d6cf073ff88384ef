"""Objects' features are pasted where their boxes are, and nowhere else."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from instagan.networks.dunit import InstanceBlocks, InstanceEncoder, Objects, cells_of, paste
from instagan.structures.instances import InstanceBatch

BOXES = torch.tensor(
    [
        [4.0, 4.0, 20.0, 16.0],  # on cells
        [9.5, 6.1, 15.0, 11.9],  # within the first one, between cells
        [-7.0, -3.0, 6.0, 9.0],  # partly outside
        [17.0, 9.0, 60.0, 90.0],  # over the corner
        [70.0, 2.0, 80.0, 9.0],  # outside
        [12.0, 20.0, 12.0, 20.0],  # without area
    ],
    dtype=torch.float64,
)  # fmt: skip
OWNER = torch.tensor([0, 0, 0, 0, 0, 1])
SIZE = (2, 3, 6, 8)
"""Of the scenes' features, of images of 32x24."""


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def written_out(scenes: Tensor, boxes: Tensor, owner: Tensor, features: Tensor) -> Tensor:
    """One object after the other, each resized as a whole; the largest first."""
    made = scenes.clone()
    sizes = [(box[2] - box[0]) * (box[3] - box[1]) for box in boxes.tolist()]
    for number in sorted(range(len(boxes)), key=lambda number: -sizes[number]):
        left, top, right, bottom = (int(edge) for edge in cells_of(boxes[[number]])[0])
        resized = functional.interpolate(features[[number]], (bottom - top, right - left), mode="bilinear")[0]
        for y in range(max(top, 0), min(bottom, scenes.shape[2])):
            for x in range(max(left, 0), min(right, scenes.shape[3])):
                made[owner[number], :, y, x] = resized[:, y - top, x - left]
    return made


def test_it_is_what_pasting_one_after_the_other_gives():
    scenes, features = maps(*SIZE), maps(len(BOXES), 3, 5, 4, seed=1)
    found = paste(scenes, Objects(OWNER, BOXES), features)
    torch.testing.assert_close(found, written_out(scenes, BOXES, OWNER, features), rtol=0, atol=1e-12)
    for order in (torch.tensor([5, 4, 3, 2, 1, 0]), torch.tensor([2, 0, 5, 3, 1, 4])):
        torch.testing.assert_close(paste(scenes, Objects(OWNER[order], BOXES[order]), features[order]), found)


def test_outside_of_boxes_the_scene_is_as_it_was_and_inside_nothing_of_it_is_left():
    scenes, features = maps(*SIZE), 100 + maps(len(BOXES), 3, 5, 4, seed=1)
    found = paste(scenes, Objects(OWNER, BOXES), features)
    inside = torch.zeros(2, 6, 8, dtype=torch.bool)
    inside[0, 1:4, 1:5] = inside[0, :3, :2] = inside[0, 2:, 4:] = inside[1, 5, 3] = True
    everywhere = inside[:, None].expand(SIZE)
    assert torch.equal(found[~everywhere], scenes[~everywhere])
    assert found[everywhere].min() > 90
    assert torch.equal((found != scenes).any(1), inside)


def test_features_that_have_the_size_of_their_box_come_as_they_are():
    scenes, features = maps(*SIZE), maps(1, 3, 3, 4, seed=1)
    found = paste(scenes, Objects(OWNER[:1], BOXES[:1]), features)
    torch.testing.assert_close(found[0, :, 1:4, 1:5], features[0], rtol=0, atol=1e-14)


def test_a_small_object_is_seen_over_a_large_one_wherever_it_stands_in_the_row():
    boxes, owner = torch.tensor([[0.0, 0, 32, 24], [8, 8, 16, 16]]), torch.tensor([0, 0])
    features = torch.tensor([1.0, 2.0])[:, None, None, None].expand(2, 3, 2, 2)
    for order in ([0, 1], [1, 0]):
        found = paste(torch.zeros(1, 3, 6, 8), Objects(owner, boxes[order]), features[order])
        assert found[0, 0, 2:4, 2:4].eq(2).all()
        assert found.eq(2).sum() == 3 * 4 and found.eq(1).sum() == 3 * (48 - 4)


def test_gradients_reach_the_scene_outside_and_the_objects_inside():
    objects = Objects(OWNER, BOXES)
    scenes, features = maps(*SIZE).requires_grad_(), maps(len(BOXES), 3, 2, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda one, other: paste(one, objects, other), (scenes, features))
    paste(scenes, objects, features).sum().backward()
    assert torch.equal(scenes.grad, written_out(torch.ones(SIZE), BOXES, OWNER, torch.zeros(6, 3, 2, 2)).double())
    assert [bool(one.abs().max() > 0) for one in features.grad] == [True, True, True, True, False, True]


def test_a_scene_does_not_see_the_objects_of_another_and_without_objects_it_is_itself():
    scenes, features = maps(*SIZE), maps(len(BOXES), 3, 5, 4, seed=1)
    together = paste(scenes, Objects(OWNER, BOXES), features)
    for row in range(2):
        mine = (OWNER - row).eq(0)
        alone = paste(scenes[[row]], Objects(OWNER[mine] * 0, BOXES[mine]), features[mine])
        torch.testing.assert_close(alone, together[[row]], rtol=0, atol=1e-14)
    assert paste(scenes, Objects(OWNER[:0], BOXES[:0]), features[:0]) is scenes


def test_cells_are_rounded_outward_and_one_at_least():
    assert cells_of(BOXES).tolist() == [
        [1, 1, 5, 4], [2, 1, 4, 3], [-2, -1, 2, 3], [4, 2, 15, 23], [17, 0, 20, 3], [3, 5, 4, 6],
    ]  # fmt: skip


def test_objects_are_cut_out_encoded_and_stylised_each_by_itself():
    scenes = InstanceBatch(
        maps(2, 3, 24, 32).float(), None, torch.tensor([[True, True], [False, True]]), torch.zeros(2, 2).long(),
        given_boxes=torch.tensor([[[2.0, 3, 9, 12], [4, 4, 30, 20]], [[0, 0, 0, 0], [-5, 6, 20, 40]]]),
    )  # fmt: skip
    torch.manual_seed(0)
    encoder, blocks, styles = InstanceEncoder(2), InstanceBlocks(2, 8), torch.randn(2, 8)
    objects = Objects.of(scenes)
    assert objects.owner.tolist() == [0, 0, 1]
    made = blocks(encoder(objects.crops(scenes.image)), styles[objects.owner])
    assert made.shape == (3, 8, 16, 16)
    one = Objects(objects.owner[2:] * 0, objects.boxes[2:])
    alone = blocks(encoder(one.crops(scenes.image[1:])), styles[1:])
    torch.testing.assert_close(alone, made[2:])
    other_style = blocks(encoder(one.crops(scenes.image[1:])), styles[:1])
    assert (other_style - alone).abs().max() > 1e-3


def test_the_sizes_of_the_networks_are_those_told():
    with torch.device("meta"):
        sizes = [sum(one.numel() for one in network.parameters()) for network in (InstanceEncoder(), InstanceBlocks())]
    assert sizes == [3_918_976, 8_203_776]
