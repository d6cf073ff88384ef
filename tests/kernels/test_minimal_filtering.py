"""Convolutions that save multiplications give what torch's own give, with hardly more rounding."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from instagan.kernels import accelerate, convolution, minimal_filtering
from instagan.networks.blocks import ResidualBlock

LAST = torch.channels_last
SHAPES = [(1, 8, 8, 12, 8), (3, 5, 7, 13, 10), (2, 16, 4, 1, 2), (2, 32, 32, 50, 50)]
"""Rows, channels, channels made, height and width of the result: whole tiles, parts of tiles, less than one."""


def random_convolution(rows, channels, made, height, width):
    """Features, weight and bias in channels-last, and a gradient of the result."""
    random = torch.Generator().manual_seed(0)
    shapes = (rows, channels, height + 2, width + 2), (made, channels, 3, 3), (rows, made, height, width)
    features, weight, gradient = (
        torch.randn(shape, generator=random).contiguous(memory_format=LAST) for shape in shapes
    )
    return features, weight, torch.randn(made, generator=random), gradient


def rounding(made: torch.Tensor, reference: torch.Tensor) -> float:
    assert made.shape == reference.shape
    return ((made - reference).norm() / reference.norm()).item()


@pytest.fixture(params=[True, False], ids=["oneDNN", "without"], autouse=True)
def onednn(request, monkeypatch):
    if request.param and not minimal_filtering._has_onednn():
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setattr(minimal_filtering, "_has_onednn", lambda: request.param)


@pytest.mark.parametrize("shape", SHAPES)
def test_results_and_gradients_are_those_of_a_convolution(shape):
    features, weight, bias, gradient = random_convolution(*shape)
    inputs = [tensor.double().requires_grad_() for tensor in (features, weight, bias)]
    reference = functional.conv2d(*inputs)
    reference.backward(gradient.double())
    made = minimal_filtering.convolve(features, weight, bias)
    assert made.is_contiguous(memory_format=LAST) and rounding(made, reference) < 4e-6
    gradients = minimal_filtering.backward(gradient, features, weight, [True, True, True])
    for found, tensor in zip(gradients, inputs, strict=True):
        assert rounding(found, tensor.grad) < 4e-6
    assert all(found.is_contiguous(memory_format=LAST) for found in gradients[:2])
    unbiased = minimal_filtering.convolve(features, weight, None)
    assert rounding(unbiased, functional.conv2d(features.double(), weight.double())) < 4e-6


def test_large_pictures_are_computed_band_by_band(monkeypatch):
    features, weight, bias, _ = random_convolution(2, 4, 6, 23, 9)
    whole = minimal_filtering.convolve(features, weight, bias)
    monkeypatch.setattr(minimal_filtering, "MOST_TILES", 7)
    banded = minimal_filtering.convolve(features, weight, bias)
    assert banded.is_contiguous(memory_format=LAST) and rounding(banded, whole) < 1e-6


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_no_more_gradients_than_asked_for(asked):
    features, weight, _, gradient = random_convolution(1, 4, 6, 5, 5)
    everything = minimal_filtering.backward(gradient, features, weight, [True, True, True])
    found = minimal_filtering.backward(gradient, features, weight, [place == asked for place in range(3)])
    assert [one is not None for one in found] == [place == asked for place in range(3)]
    assert torch.equal(found[asked], everything[asked])


def test_wide_layers_of_large_pictures_are_computed_so(monkeypatch):
    """A residual layer, from its padding to its normalisation, against the same layer computed directly."""
    torch.manual_seed(0)
    chain = nn.Sequential(ResidualBlock(8)).to(memory_format=LAST)
    accelerate(chain)
    features = torch.randn(2, 8, 30, 21)
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return filtered(*arguments)

    def gradients():
        chain.zero_grad(set_to_none=True)
        seen = features.clone().requires_grad_()
        made = chain(seen)
        (made * torch.linspace(-1, 1, made.numel()).view_as(made)).sum().backward()
        return [made, seen.grad, *(weight.grad for weight in chain.parameters() if weight.ndim > 1)]

    filtered = minimal_filtering.convolve
    monkeypatch.setattr(minimal_filtering, "convolve", counted)
    direct = gradients()
    assert not calls  # too few channels
    monkeypatch.setattr(convolution, "MANY_TO_MANY", 8)
    monkeypatch.setattr(convolution, "LARGE", 2 * 30 * 21)
    for found, expected in zip(gradients(), direct, strict=True):
        assert rounding(found, expected) < 1e-4
    assert len(calls) == 2
    monkeypatch.setattr(convolution, "LARGE", 2 * 34 * 25)
    gradients()
    assert len(calls) == 2
