"""Keypoints become heat maps and are found again."""

import dataclasses

import pytest
import torch

from instagan.structures.heat_maps import heat_maps, points_of
from instagan.structures.instances import OUTSIDE, InstanceBatch
from tests.batches import random_batch


def drawn_points(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """x, y and visibility of points all over a picture, its edges included: (4, 6, 3)."""
    x, y = torch.rand(2, 4, 6, generator=torch.Generator().manual_seed(seed))
    points = torch.stack([x * width, y * height, torch.full_like(x, 2)], dim=-1)
    points[0, :4, 0] = torch.tensor([0.0, width - 1e-3, 0.5, width - 0.5])
    return points


@pytest.mark.parametrize("size", [(64, 64), (32, 57), (200, 120)])
def test_there_and_back_is_exact_between_pixels_and_within_half_of_one_at_the_edge(size):
    points = drawn_points(*size)
    maps = heat_maps(points, *size)
    assert maps.shape == (4, 6, *size) and maps.min() >= -1 and maps.max() <= 1
    found = points_of(maps)
    away = (found - points)[..., :2].abs()
    lengths = torch.tensor(size[::-1])
    inner = ((points[..., :2] > 1) & (points[..., :2] < lengths - 1)).all(-1)
    assert inner.sum() > 10 and away[inner].max() < 0.01
    assert away.max() <= 0.501 and (found[..., 2] == 2).all()


def test_unknown_points_have_no_heat_and_low_maps_no_point():
    points = drawn_points(48, 48)
    points[:, ::2, 2] = 0
    maps = heat_maps(points, 48, 48)
    assert (maps[:, ::2] == -1).all()
    assert (points_of(maps)[:, ::2] == 0).all()
    assert (points_of(maps * 0.5 - 0.5) == 0).all()  # nothing above 0 is left
    assert points_of(maps[:0]).shape == (0, 6, 3) and points_of(maps[:, :0]).shape == (4, 0, 3)


def test_noise_moves_a_point_by_less_than_a_pixel():
    points = drawn_points(64, 64, seed=3)[1:]
    maps = heat_maps(points, 64, 64)
    noise = torch.rand(maps.shape, generator=torch.Generator().manual_seed(0)) * 0.1
    assert (points_of(maps - noise) - points)[..., :2].abs().max() < 1


def test_a_batch_derives_heat_maps_of_its_keypoints_and_draws_them_once():
    batch = random_batch([2, 1], slots=2)
    keypoints = torch.zeros(2, 2, 3, 3)
    keypoints[batch.present] = torch.tensor([[3.5, 4.5, 2], [20.2, 9.7, 1], [0, 0, 0]])
    known = dataclasses.replace(batch, keypoints=keypoints)
    rasters = known.rasters(3)
    assert torch.equal(rasters[:, :, 0], batch.masks)
    assert torch.equal(rasters[:, :, 1:], heat_maps(keypoints, 32, 32))
    assert (rasters[~batch.present] == OUTSIDE).all()
    drawn = known.drawn()
    assert drawn.keypoints is None and torch.equal(drawn.rasters(3), rasters)
    assert drawn.drawn() is drawn and batch.drawn() is batch
    torch.testing.assert_close(drawn.points[..., :2], keypoints[..., :2], rtol=0, atol=0.01)
    made = InstanceBatch.from_rasters(batch.image, rasters, batch.present, batch.labels)
    assert torch.equal(made.masks, batch.masks) and torch.equal(made.rasters(3), rasters)


def test_planes_that_are_missing_or_too_many_are_refused_where_an_instance_is():
    batch = random_batch([1])
    with pytest.raises(ValueError, match="must have 2 attribute planes, not 0"):
        batch.rasters(2)
    with pytest.raises(ValueError, match="must have 2 attribute planes, not 3"):
        dataclasses.replace(batch, keypoints=torch.zeros(1, 1, 3, 3)).rasters(2)
    assert random_batch([0], slots=2).rasters(3).shape == (1, 2, 4, 32, 32)
    assert batch.rasters(0).data_ptr() == batch.masks.data_ptr()  # masks alone are not copied
