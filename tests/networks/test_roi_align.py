"""RoIAlign is what its definition, written out, says; so are its gradients, and torchvision's where that runs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from instagan.errors import InputError
from instagan.io import torchvision_import
from instagan.networks.roi_align import roi_align

OWNER = torch.tensor([1, 0, 1, 0])
BOXES = torch.tensor(
    [[2.3, 1.0, 11.9, 9.5], [-3.0, -2.0, 30.0, 22.0], [5.0, 5.0, 5.4, 5.2], [-40.0, 3.0, -20.0, 9.0]],
    dtype=torch.float64,
)  # fmt: skip
"""Within, larger than the picture of 20x16 on all sides, smaller than a cell, outside."""


def features(height: int = 4, width: int = 5) -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randn((2, 3, height, width), dtype=torch.float64, generator=random)


def value_at(plane: Tensor, y: float, x: float) -> float:
    """Bilinear value of a plane (h, w) at a point, in cells from the middle of the first."""
    h, w = plane.shape
    if not (-1 <= y <= h and -1 <= x <= w):
        return 0.0
    y, x = min(max(y, 0.0), h - 1.0), min(max(x, 0.0), w - 1.0)
    total = 0.0
    for row in range(h):
        for column in range(w):
            weight = max(1 - abs(y - row), 0.0) * max(1 - abs(x - column), 0.0)
            total += weight * plane[row, column].item()
    return total


def written_out(size: tuple[int, int], scale: float, samples: int, aligned: bool) -> Tensor:
    made = torch.zeros((len(OWNER), 3, *size), dtype=torch.float64)
    for number, (row, box) in enumerate(zip(OWNER.tolist(), BOXES.tolist(), strict=True)):
        left, top, right, bottom = (edge * scale - (0.5 if aligned else 0.0) for edge in box)
        wide, high = right - left, bottom - top
        if not aligned:
            wide, high = max(wide, 1.0), max(high, 1.0)
        for channel in range(3):
            for i in range(size[0]):
                for j in range(size[1]):
                    values = [
                        value_at(
                            features()[row, channel],
                            top + high * (i + (a + 0.5) / samples) / size[0],
                            left + wide * (j + (b + 0.5) / samples) / size[1],
                        )
                        for a in range(samples)
                        for b in range(samples)
                    ]
                    made[number, channel, i, j] = math.fsum(values) / samples**2
    return made


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("size, scale, samples", [((3, 2), 0.25, 2), ((2, 4), 0.25, 1), ((1, 1), 0.2, 3)])
def test_it_is_the_mean_of_points_that_are_interpolated(size, scale, samples, aligned):
    found = roi_align(features(), OWNER, BOXES, size, scale, samples, aligned)
    torch.testing.assert_close(found, written_out(size, scale, samples, aligned), rtol=0, atol=1e-12)
    assert found[0].abs().max() > 0 and found[3].abs().max() == 0


@pytest.mark.parametrize("aligned", [True, False])
def test_gradients_reach_the_features_and_no_box(aligned):
    def cut(maps: Tensor) -> Tensor:
        return roi_align(maps, OWNER, boxes, (2, 3), 0.25, 2, aligned)

    boxes = BOXES.clone().requires_grad_()
    assert torch.autograd.gradcheck(cut, (features().requires_grad_(),))
    cut(features().requires_grad_()).sum().backward()
    assert boxes.grad is None


def test_regions_of_a_slope_are_the_slope():
    slope = torch.arange(12.0, dtype=torch.float64)[None, None, None].expand(1, 1, 9, 12)
    found = roi_align(slope, torch.tensor([0]), torch.tensor([[2.0, 2.0, 8.0, 6.0]]), (2, 3))
    torch.testing.assert_close(found[0, 0, 0], torch.tensor([2.5, 4.5, 6.5], dtype=torch.float64))


def test_without_a_region_there_is_none_and_the_gradient_is_0():
    maps = features().requires_grad_()
    found = roi_align(maps, torch.zeros(0, dtype=torch.long), torch.zeros(0, 4), (3, 2))
    assert found.shape == (0, 3, 3, 2)
    found.sum().backward()
    assert maps.grad is not None and maps.grad.abs().max() == 0


def test_an_instance_norm_before_it_gets_the_right_gradient_at_batch_1():
    """Its gradient must not arrive with the channels last in memory, where torch's own norm may be wrong on a CPU."""
    maps, owner = features(8, 8)[:1].requires_grad_(), torch.zeros(2, dtype=torch.long)
    boxes = BOXES[:2]
    weight = torch.randn((2, 3, 3, 3), dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def gradient(normalised: Tensor) -> Tensor:
        loss = (roi_align(normalised, owner, boxes, (3, 3), 0.25) * weight).sum()
        return torch.autograd.grad(loss, maps)[0]

    mean, variance = maps.mean((2, 3), keepdim=True), maps.var((2, 3), unbiased=False, keepdim=True)
    by_formula = gradient((maps - mean) / (variance + 1e-5).sqrt())
    torch.testing.assert_close(gradient(functional.instance_norm(maps)), by_formula)


def test_it_is_what_torchvisions_compiled_operator_makes_of_the_same_regions():
    try:
        torchvision = torchvision_import.import_torchvision()
    except InputError as error:
        pytest.skip(str(error))
    if torchvision_import._registered:
        pytest.skip("torchvision's compiled part does not fit the installed torch")
    rois = torch.cat([OWNER[:, None], BOXES], dim=1)
    for aligned in (True, False):
        maps, theirs = features().requires_grad_(), features().requires_grad_()
        mine = roi_align(maps, OWNER, BOXES, (3, 2), 0.25, 2, aligned)
        other = torchvision.ops.roi_align(theirs, rois, (3, 2), 0.25, 2, aligned)
        torch.testing.assert_close(mine, other)
        mine.square().sum().backward()
        other.square().sum().backward()
        torch.testing.assert_close(maps.grad, theirs.grad)
