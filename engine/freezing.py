"""Networks that are used and not trained: contexts that restore what they found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.utils.parametrize import ParametrizationList


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Within it gradients flow through the networks; parameters receive none, and spectral norms take no power step."""
    trained = [(weight, weight.requires_grad) for network in networks for weight in network.parameters()]
    for weight, _ in trained:
        weight.requires_grad_(False)
    try:
        with power_iteration_held(*networks):
            yield
    finally:
        for weight, requires_grad in trained:
            weight.requires_grad_(requires_grad)


@contextmanager
def power_iteration_held(*networks: nn.Module) -> Iterator[None]:
    """Within it spectral norms use the singular vectors that they have, in eval mode, and the rest stays as it is."""
    modes = [(norm, norm.training) for network in networks for of_weight in _norms(network) for norm in of_weight]
    for norm, _ in modes:
        norm.training = False
    try:
        yield
    finally:
        for norm, training in modes:
            norm.training = training


@torch.no_grad()
def take_power_step(network: nn.Module) -> None:
    """The power step that a forward pass in training mode takes: for a rank without rows in an update of all."""
    for norms in _norms(network):
        norms()


def _norms(network: nn.Module) -> list[ParametrizationList]:
    return [module for module in network.modules() if isinstance(module, ParametrizationList)]
