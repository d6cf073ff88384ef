"""What the engine needs of a method, and everything that a checkpoint keeps of one.

Training depends on a method's networks (and buffers within them), its optimizers and its image pools; nothing else.
With ``--ema`` there are averages of the weights beside them, of which training knows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from engine.averaging import Averages
from engine.optimizer import GuardedAdam
from engine.update import Update
from instagan.structures.directions import Direction, exchanged
from instagan.structures.image_pool import ImagePool
from instagan.structures.one_way import OneWayTranslator


class Method(Protocol):
    """A ``models.translation_model.TranslationModel``, or whatever else can be trained."""

    networks: nn.ModuleDict
    pools: dict[str, ImagePool]
    averages: Averages | None

    def training_step(self, update: Update) -> None: ...

    def translators(self) -> Mapping[Direction, OneWayTranslator]: ...

    def optimizers(self) -> dict[str, GuardedAdam]: ...


def state_of(method: Method) -> dict[str, Any]:
    """Everything that training depends on, as tensors and plain containers."""
    optimizers = method.optimizers()
    return {
        "networks": {name: network.state_dict() for name, network in method.networks.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in optimizers.items()},
        "pools": {name: pool.state_dict() for name, pool in method.pools.items()},
        "scalers": {name: one.scaler.state_dict() for name, one in optimizers.items() if one.scaler},
        **({"averages": method.averages.state_dict()} if method.averages else {}),
    }


def described_translators(method: Method, trained: str) -> list[dict[str, Any]]:
    """What is needed to translate beside the weights, one entry for each direction of the folders, in plain values.

    Of a method whose generators are of no known kind there is none. trained: --direction of the training.
    """
    names = {network: name for name, network in method.networks.items()}
    entries = []
    for direction, translator in method.translators().items():
        source, target = exchanged(direction, trained)
        if described := translator.description():
            entries.append({"source": source, "target": target, **_names(translator.generator, names), **described})
    return entries


def _names(generator: Any, names: Mapping[nn.Module, str]) -> dict[str, Any]:
    """Under which names a checkpoint keeps a generator: one, or one for each of the networks that it is made of."""
    if generator in names:
        return {"network": names[generator]}
    return {"parts": {role: names[network] for role, network in generator.named_children()}}


def load_networks(method: Method, state: dict[str, Any]) -> None:
    """Restores the weights alone."""
    for name, network in method.networks.items():
        network.load_state_dict(state["networks"][name])


def load_state(method: Method, state: dict[str, Any]) -> None:
    """Restores what ``state_of`` returned; the method must be on its device already."""
    load_networks(method, state)
    if method.averages:
        method.averages.load_state_dict(state.get("averages"))
    scalers = state.get("scalers", {})  # of a run in another precision, or an older one, there are none
    for name, optimizer in method.optimizers().items():
        optimizer.load_state_dict(state["optimizers"][name])
        _lay_out(optimizer)
        if optimizer.scaler and name in scalers:
            optimizer.scaler.load_state_dict(scalers[name])
    device = next(method.networks.parameters()).device
    for name, pool in method.pools.items():
        pool.load_state_dict(state["pools"][name], device)


def refused_updates(method: Method) -> dict[str, Tensor]:
    """By optimizer, how many updates it has refused: () float on the weights' device, the same on all ranks."""
    return {name: optimizer.refused for name, optimizer in method.optimizers().items()}


def is_finite(method: Method) -> bool:
    """Whether all weights, buffers and moments are. Waits for the device."""
    networks = [tensor for network in method.networks.values() for tensor in network.state_dict().values()]
    moments = [moment for one in method.optimizers().values() for of in one.state.values() for moment in of.values()]
    found = [one.isfinite().all() for one in (*networks, *moments) if isinstance(one, Tensor)]
    return not found or bool(torch.stack([one.to(found[0].device) for one in found]).all())


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Moments in the memory layout of their weights, which the kernel relies on: a checkpoint may come from another."""
    for weight, state in optimizer.state.items():
        for name, moment in state.items():
            if isinstance(moment, Tensor) and moment.shape == weight.shape:
                state[name] = torch.empty_like(weight).copy_(moment)
