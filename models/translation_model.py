"""The contract of a model: all that train.py and test.py know about a method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from engine.global_batch import GlobalBatch
from engine.optimizer import GuardedAdam
from engine.parallel import GradientSum, World
from instagan.structures.image_pool import ImagePool
from instagan.structures.instances import InstanceBatch, UnpairedBatch

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
    def training_step(self, *pairs: UnpairedBatch, joint: GlobalBatch | None = None) -> tuple[Losses, Pictures]:
        """One training step on batches of B pairs, as on one batch of all their rows, with the memory of one of them.

        Updates the weights; returns losses (scalars, of all rows) and pictures (of the first batch), all detached.
        joint: what all ranks have for this step, which may be nothing on this one; without it ``pairs`` are all.
        """

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
            "scalers": {name: one.scaler.state_dict() for name, one in self.guarded().items() if one.scaler},
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
            _lay_out(optimizer)
        scalers = state.get("scalers", {})  # of a run in another precision, or an older one, there are none
        for name, guarded in self.guarded().items():
            if guarded.scaler and name in scalers:
                guarded.scaler.load_state_dict(scalers[name])
        device = next(self.parameters()).device
        for name, pool in self.pools.items():
            pool.load_state_dict(state["pools"][name], device)

    def guarded(self) -> dict[str, GuardedAdam]:
        """The optimizers that refuse gradients that are not finite: any method should have no others."""
        return {name: one for name, one in self.optimizers().items() if isinstance(one, GuardedAdam)}

    def refused(self) -> dict[str, Tensor]:
        """By optimizer, how many updates it has refused: () float on the weights' device, the same on all ranks."""
        return {name: guarded.refused for name, guarded in self.guarded().items()}

    def is_finite(self) -> bool:
        """Whether all weights, buffers and moments are. Waits for the device."""
        networks = [tensor for network in self.networks.values() for tensor in network.state_dict().values()]
        moments = [moment for one in self.optimizers().values() for of in one.state.values() for moment in of.values()]
        found = [one.isfinite().all() for one in (*networks, *moments) if isinstance(one, Tensor)]
        return not found or bool(torch.stack([one.to(found[0].device) for one in found]).all())

    def forget_not_finite(self) -> None:
        """Pools forget fakes that are not finite. Waits for the device."""
        for pool in self.pools.values():
            pool.forget_not_finite()


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Moments in the memory layout of their weights, which the kernel relies on: a checkpoint may come from another."""
    for weight, state in optimizer.state.items():
        for name, moment in state.items():
            if isinstance(moment, Tensor) and moment.shape == weight.shape:
                state[name] = torch.empty_like(weight).copy_(moment)


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Within it the networks pass gradients on but gather none, and keep their state (power iteration) as it is."""
    gathering = [(weight, weight.requires_grad) for network in networks for weight in network.parameters()]
    for weight, _ in gathering:
        weight.requires_grad_(False)
    try:
        with settled(*networks):
            yield
    finally:
        for weight, gathers in gathering:
            weight.requires_grad_(gathers)


@contextmanager
def settled(*networks: nn.Module) -> Iterator[None]:
    """Within it the networks keep their state (power iteration) as it is."""
    modes = [(module, module.training) for network in networks for module in network.modules()]
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@torch.no_grad()
def step_state(network: nn.Module) -> None:
    """The power step that scoring would take: for a rank that has nothing to score in an update of all."""
    for module in network.modules():
        if parametrize.is_parametrized(module):
            for name in dict(module.parametrizations.named_children()):  # type: ignore[union-attr]
                getattr(module, name)


def backpropagate(optimizer: torch.optim.Optimizer, objectives: Iterable[Tensor]) -> None:
    """Gradients of the sum of the objectives, those before forgotten.

    Each is asked for, backpropagated and let go before the next: the graphs of independent objectives never exist
    at the same time.
    """
    optimizer.zero_grad(set_to_none=True)
    for objective in objectives:
        if isinstance(optimizer, GuardedAdam):
            optimizer.backward(objective)
        else:
            objective.backward()


def descend(optimizer: torch.optim.Optimizer, gradients: GradientSum) -> None:
    """One step, as soon as the gradients of all ranks are in. Weights without a gradient stay where they are.

    The sums are the same on all ranks: they all refuse a step, and change their loss scale, or none does. Gradients are
    forgotten at once: those of one optimizer would only stand beside the graphs of the next.
    """
    gradients.wait()
    if isinstance(optimizer, GuardedAdam):
        optimizer.descend()
    else:
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def weighted(loss: Tensor, share: float) -> Tensor:
    """The loss of a batch as its part in the mean over all rows."""
    return loss if share == 1 else share * loss


def mean_losses(reported: list[tuple[float, Losses]], updates: dict[str, int], world: World, like: Tensor) -> Losses:
    """Each loss over all ranks' rows, as the mean of its updates.

    reported: shares and losses of this rank's batches, in all updates. updates: in how many of them, on any rank, there
    is a loss of that name; the same on every rank. like: a tensor on the model's device.
    """
    sums = []
    for name, count in updates.items():
        found = [weighted(losses[name], share) for share, losses in reported if name in losses]
        sums.append(torch.stack(found).sum() / count if found else like.new_zeros(()))
    return dict(zip(updates, world.add(torch.stack(sums)).unbind() if sums else (), strict=True))
