"""The contract of a model: all that train.py and test.py know about a method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from instagan.image_pool import ImagePool
from instagan.instances import InstanceBatch, UnpairedBatch

Losses = dict[str, Tensor]
Pictures = dict[str, dict[str, InstanceBatch]]
"""Source domain ("A", "B") -> what to show of it, in order: {"real_A": ..., "fake_B": ..., "rec_A": ...}."""


class TranslationModel(nn.Module, ABC):
    """A method that learns to translate between two domains, called a and b in the code.

    A method is one file with one class, and one line in ``MODELS``: flags, help, checkpoints, resume, test.py and
    the contract test follow from what is here. ``networks`` and ``pools`` are all that a checkpoint keeps of a
    method besides the states of its optimizers.
    """

    architecture: tuple[str, ...] = ()
    """Names of the method's own flags that shape its networks; a trained run's values cannot be changed."""
    not_inherited: tuple[str, ...] = ()
    """Names of the method's own flags whose value in training is no default for translating."""

    networks: nn.ModuleDict
    pools: dict[str, ImagePool]

    @staticmethod
    @abstractmethod
    def add_options(parser: ArgumentParser, training: bool) -> None:
        """Adds this method's own flags, for train.py or for test.py."""

    @classmethod
    @abstractmethod
    def from_options(cls, options: Namespace) -> TranslationModel:
        """Builds the method from checked options. Raises ``InputError`` for values that it cannot work with."""

    @staticmethod
    @abstractmethod
    def dataset_mode(options: Namespace) -> str:
        """The data set that the method needs when the user names none."""

    @abstractmethod
    def training_step(self, pair: UnpairedBatch) -> tuple[Losses, Pictures]:
        """One training step on B pairs: updates the weights, returns losses (scalars) and pictures, all detached."""

    @abstractmethod
    def translate(self, source: InstanceBatch, to: str = "b") -> InstanceBatch:
        """Pictures of the other domain ("b" or "a"), without gradients; runs the networks of this direction only."""

    @abstractmethod
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Every optimizer by name; names that start with D belong to discriminators (they follow ``--lr_D``)."""

    def state(self) -> dict[str, Any]:
        """Everything that training depends on, as tensors and plain containers."""
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers().items()},
            "pools": {name: pool.state_dict() for name, pool in self.pools.items()},
        }

    def load_networks(self, state: dict[str, Any]) -> None:
        """Restores the weights alone: what translating needs."""
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores what ``state`` returned; the model must be on its device already."""
        self.load_networks(state)
        for name, optimizer in self.optimizers().items():
            optimizer.load_state_dict(state["optimizers"][name])
        device = next(self.parameters()).device
        for name, pool in self.pools.items():
            pool.load_state_dict(state["pools"][name], device)


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Within it the networks pass gradients on but gather none, and keep their state (power iteration) as it is."""
    modes = [(module, module.training) for network in networks for module in network.modules()]
    gathering = [(weight, weight.requires_grad) for network in networks for weight in network.parameters()]
    for weight, _ in gathering:
        weight.requires_grad_(False)
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for weight, gathers in gathering:
            weight.requires_grad_(gathers)
        for module, training in modes:
            module.training = training


def descend(optimizer: torch.optim.Optimizer, objectives: Iterator[Tensor]) -> None:
    """One step down the sum of the objectives.

    Each is asked for, backpropagated and let go before the next: the graphs of independent objectives never exist
    at the same time. The optimizer stays where it is when there is none.
    """
    optimizer.zero_grad(set_to_none=True)
    some = False
    for objective in objectives:
        objective.backward()
        some = True
    if some:
        optimizer.step()


def average(steps: list[Losses]) -> Losses:
    """Mean of each loss over the steps that report it."""
    names = dict.fromkeys(name for losses in steps for name in losses)
    return {name: torch.stack([losses[name] for losses in steps if name in losses]).mean() for name in names}
