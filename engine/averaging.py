"""The exponential moving average of a method's weights, which translates in place of the newest ones (``--ema``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

State = dict[str, dict[str, Tensor]]


class Averages:
    """Of the weights of all networks but discriminators. What is no weight, such as a memory, is that of the network.

    decay: the part of an average that an update leaves, in [0, 1); in update t at most (1 + t) / (10 + t), so that
    the weights that a run begins with are soon forgotten.
    """

    def __init__(self, networks: nn.ModuleDict, decay: float) -> None:
        self.decay, self.count = decay, 0
        self.networks = {name: network for name, network in networks.items() if not name.startswith("D")}
        self.weights = self._newest()

    def update(self) -> None:
        """After every update of the networks."""
        self.count += 1
        kept = min(self.decay, (1 + self.count) / (10 + self.count))
        for name, network in self.networks.items():
            newest = _weights(network)
            torch._foreach_lerp_(list(self.weights[name].values()), list(newest.values()), 1 - kept)

    def state_dict(self) -> dict[str, Any]:
        """``networks``: state dicts that translate with the averages; ``count``: of updates."""
        states = {name: network.state_dict() | self.weights[name] for name, network in self.networks.items()}
        return {"count": self.count, "networks": states}

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """None: begins with the weights that the networks have."""
        self.count, self.weights = (state["count"] if state else 0), self._newest()
        for name, of_network in self.weights.items() if state else ():
            for key, average in of_network.items():
                average.copy_(state["networks"][name][key])

    def _newest(self) -> State:
        return {
            name: {key: weight.clone() for key, weight in _weights(network).items()}
            for name, network in self.networks.items()
        }


class Averaged(Protocol):
    averages: Averages | None


@contextmanager
def averaged(method: Averaged) -> Iterator[None]:
    """Within it the networks have the averages for weights, if there are any; after it those of before."""
    averages = method.averages
    if averages is None:
        yield
        return
    newest = averages._newest()
    _put(averages, averages.weights)
    try:
        yield
    finally:
        _put(averages, newest)


def _put(averages: Averages, weights: State) -> None:
    for name, network in averages.networks.items():
        for key, weight in _weights(network).items():
            weight.copy_(weights[name][key])


def _weights(network: nn.Module) -> dict[str, Tensor]:
    """By their names in the state dict, without gradients."""
    named = network.state_dict(keep_vars=True).items()
    return {key: weight.detach() for key, weight in named if isinstance(weight, nn.Parameter)}
