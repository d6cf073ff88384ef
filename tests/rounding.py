"""How far a result in float32 may be from the same in float64: by what rounding does to it, not by what one CPU gave.

The order in which a CPU adds numbers up differs with its instructions, its threads and the layout in memory, and each
order rounds differently. What this does to a result is measured in float64, where it is the same on every CPU: all
weights are changed by a few roundings, at random, and how much the result changes is what rounding can do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

ROUNDING = 2.0**-24
"""Largest relative error of one operation in float32."""
ROUNDINGS = 5
"""Operations whose rounding a layer hands on: a convolution's sum, its bias, the norm's mean, its scale, a product."""
IN_TRAINING = 3 * ROUNDINGS
"""The way of a gradient is three times as long: forward through G, on through F or D, and back through both."""
DRAWS = 6
"""Changed copies; how far the farthest of them is off varies by less than ``FACTOR``."""
FACTOR = 3
"""Minimal filtering rounds twice to three times as much as a convolution, other ways of computing up to twice."""


def perturb(module: nn.Module, seed: int, roundings: int = ROUNDINGS, unit: float = ROUNDING) -> None:
    """Changes every weight by some roundings, drawn from the seed, in place. unit: the size of one."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            drawn = torch.randn(weight.shape, generator=random, dtype=torch.float64)
            weight.mul_((1 + roundings * unit * drawn).to(weight.dtype))


def allowed(exact: Tensor, perturbed: Sequence[Tensor]) -> float:
    """Largest difference to the exact result that rounding explains, for any number in it.

    perturbed: what perturbed weights give. A result that they do not change is rounded all the same.
    """
    own = ROUNDINGS * ROUNDING * exact.abs().max().item()
    return FACTOR * (own + max((distance(other, exact) for other in perturbed), default=0.0))


def between_two(network: nn.Module, run: Callable[[nn.Module], Tensor]) -> float:
    """Largest difference between two results in float32 which differ in the order of their sums only.

    run: computes one of them with the network that it is given, which is in float64.
    """
    networks = [deepcopy(network).double() for _ in range(DRAWS + 1)]
    for draw, changed in enumerate(networks[1:], 1):
        perturb(changed, draw)
    with torch.no_grad():
        exact, *perturbed = map(run, networks)
    return 2 * allowed(exact, perturbed)


def distance(made: Tensor, exact: Tensor) -> float:
    assert made.shape == exact.shape
    return (made - exact).abs().max().item()
