"""Instance norm has the right result and gradient, in whatever layout features and gradients lie in memory."""

import pytest
import torch
from torch import Tensor

from instagan.kernels import accelerate
from instagan.networks.normalisation import InstanceNorm2d

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def written_out(x: Tensor) -> Tensor:
    centred = x - x.mean((2, 3), keepdim=True)
    return centred / (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()


def norm_of(way: str) -> torch.nn.Module:
    norm = InstanceNorm2d(8)
    if way == "kernels":
        accelerate(norm)
    return torch.compile(norm) if way == "compiled" else norm


@pytest.mark.parametrize("of_gradient", LAYOUTS)
@pytest.mark.parametrize("of_features", LAYOUTS)
@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("way", ["plain", "kernels", pytest.param("compiled", marks=pytest.mark.slow)])
def test_the_gradient_is_that_of_the_formula(way, rows, of_features, of_gradient):
    torch.manual_seed(0)
    x, slope = torch.randn(2, rows, 8, 6, 5)
    exact = x.double().requires_grad_()
    expected = written_out(exact)
    expected.backward(slope.double())
    given = x.contiguous(memory_format=of_features).requires_grad_()
    made = norm_of(way)(given)
    made.backward(slope.contiguous(memory_format=of_gradient))
    torch.testing.assert_close(made.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(given.grad.double(), exact.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("way", ["plain", "kernels"])
def test_a_gradient_that_comes_through_a_permutation_is_right(way):
    """As losses on features gather them: pixels by channels."""
    torch.manual_seed(0)
    x, places = torch.randn(1, 8, 6, 5), torch.tensor([3, 17, 4, 29])
    gradients = []
    for norm, given in ((written_out, x.double()), (norm_of(way), x.clone())):
        pixels = norm(given.requires_grad_()).permute(0, 2, 3, 1).flatten(1, 2)  # (1, 30, 8)
        pixels[:, places].pow(3).sum().backward()
        gradients.append(given.grad.double())
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("way", ["plain", "kernels"])
def test_no_rows_are_normalised_to_no_rows(way):
    assert norm_of(way)(torch.empty(0, 8, 6, 5)).shape == (0, 8, 6, 5)
