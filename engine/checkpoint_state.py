"""What a checkpoint must hold to be believed: everything in its place, in a known format, every number finite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from engine.method import Method

PROGRESS = ("epoch", "steps", "pictures")


def unfit(state: Any, newest_format: int) -> str:
    """Why what a file holds is no state of a run, as the end of a sentence; empty if it is one."""
    if not isinstance(state, dict) or "format" not in state or "networks" not in state:
        return "is not a checkpoint of a run"
    if state["format"] != newest_format:
        newer = isinstance(state["format"], int) and state["format"] > newest_format
        advice = "it was saved by a newer version: use that one" if newer else "use the matching version"
        return f"has format {str(state['format'])[:20]!s}, this version reads {newest_format}; {advice}"
    networks, progress = state["networks"], state.get("progress")
    if not isinstance(networks, Mapping) or not all(isinstance(one, Mapping) for one in networks.values()):
        return "is not a checkpoint of a run: it holds no networks by name"
    if not isinstance(progress, dict) or not all(map(_counts, (*map(progress.get, PROGRESS), *progress.values()))):
        return "is damaged: it does not tell how far its run had come"
    averages = state.get("averages", {"count": 0})
    if not isinstance(averages, Mapping) or not _counts(averages.get("count")):
        return "is damaged: it does not tell of how many updates its averages are"
    for place, tensor in _tensors(state):
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            return f"is damaged: {place} is no ordinary tensor"
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            return f"is damaged: {place} is larger than the file tells"
        if not tensor.isfinite().all():
            kind = "NaN" if tensor.isnan().any() else "infinite values"
            return f"cannot be used: {place} holds {kind}"
    return ""


def misfit(state: Mapping[str, Any], model: Method) -> str:
    """The first difference between a state's networks and the model's, in words; empty if they fit."""
    told, own = dict(state.get("options") or {}), model.networks
    given = state["networks"]
    method = f" of --model {told['model']}" if "model" in told else ""
    if given.keys() != own.keys():
        return f"it holds the networks {', '.join(given)}{method}, and not {', '.join(own)}"
    for network, module in own.items():
        for name, tensor in module.state_dict().items():
            if name not in given[network]:
                return f"its {network}{method} has no {name}"
            found = given[network][name]
            if found.shape != tensor.shape:
                sizes = " instead of ".join(_size(one) for one in (found, tensor))
                width = f", trained with --ngf {told['ngf']}" if "ngf" in told else ""
                return f"{name} of its {network} is {sizes}{width}"
        if surplus := [name for name in given[network] if name not in module.state_dict()]:
            return f"its {network}{method} has {surplus[0]}, too"
    return _moments_misfit(state, model)


def _moments_misfit(state: Mapping[str, Any], model: Method) -> str:
    for optimizer, one in model.optimizers().items():
        weights = [weight for group in one.param_groups for weight in group["params"]]
        for number, moments in state.get("optimizers", {}).get(optimizer, {}).get("state", {}).items():
            for name, moment in moments.items():
                if name != "step" and (number >= len(weights) or moment.shape != weights[number].shape):
                    return f"{name} of its optimizer {optimizer} does not fit the weights"
    return ""


def _tensors(state: Any, place: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor with where it is, such as networks/G_A/decoder.1.weight."""
    if isinstance(state, Tensor):
        yield place.removeprefix("/"), state
    elif isinstance(state, Mapping):
        for name, value in state.items():
            yield from _tensors(value, f"{place}/{name}")
    elif isinstance(state, list | tuple):
        for number, value in enumerate(state):
            yield from _tensors(value, f"{place}/{number}")


def _counts(value: Any) -> bool:
    return isinstance(value, int) and value >= 0


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"
