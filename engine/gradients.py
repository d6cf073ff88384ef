"""Gradients of all ranks, added. With them travels what the ranks must know of each other's losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from engine.freezing import take_power_step
from engine.optimizer import GuardedAdam
from engine.parallel import World


def add_gradients(
    world: World, optimizers: Sequence[GuardedAdam], losses: Mapping[str, Tensor]
) -> dict[str, torch.dtype]:
    """Adds up the gradients of all ranks, and returns the names and types of the losses of all ranks.

    A weight without a gradient counts as 0 where another rank has one, and stays without where none has: an optimizer
    leaves such weights alone. A network that had rows on other ranks only takes the power step of its spectral norms.
    """
    types = {name: loss.dtype for name, loss in losses.items()}
    if world.size == 1:
        return types
    weights = [weight for one in optimizers for group in one.param_groups for weight in group["params"]]
    mine = [weight.grad is not None for weight in weights]
    told = world.all_gather_object((types, mine))
    anywhere = [any(of_weight) for of_weight in zip(*(there for _, there in told), strict=True)]
    for network in (network for optimizer in optimizers for network in optimizer.networks):
        if _is_behind(network, weights, mine, anywhere):
            take_power_step(network)
    world.add_gradients([weight for weight, there in zip(weights, anywhere, strict=True) if there])
    return {name: dtype for of_rank, _ in told for name, dtype in of_rank.items()}


def _is_behind(
    network: nn.Module, weights: Sequence[nn.Parameter], mine: Sequence[bool], anywhere: Sequence[bool]
) -> bool:
    """Whether other ranks have gradients of a network, and this one has none at all."""
    own = {id(weight) for weight in network.parameters()}
    places = [place for place, weight in enumerate(weights) if id(weight) in own]
    return any(anywhere[place] for place in places) and not any(mine[place] for place in places)
