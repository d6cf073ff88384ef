"""Adam that never takes a step along gradients that are not finite, and float16's loss scale."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler

RETRIES = 30
"""Steps in a row that may overflow with a loss scale: each halves it, and from any scale so many leave less than 1."""


class GuardedAdam(torch.optim.Adam):
    """Fused Adam: one kernel, without copies of the weights, which stays idle where a gradient is not finite.

    The gradients are judged on their device, and the host never waits for the verdict: ``refused`` counts on the
    device, too. Without a loss scale they are judged by their norm, so that gradients whose squares overflow, which
    would spoil Adam's second moments for good, are refused as well.
    """

    scaler: GradScaler | None = None
    """Of the losses, for float16: its gradients would underflow without."""
    _counts: tuple[Tensor, Tensor] | None = None  # refused, refused in a row

    def __init__(
        self,
        networks: Iterable[nn.Module],
        lr: float = 2e-4,
        beta1: float = 0.5,
        beta2: float = 0.999,
        weight_decay: float = 0.0,
        max_norm: float | None = None,
    ) -> None:
        """networks: whose weights it trains. lr: at the beginning, see ``set_learning_rates``. max_norm: gradients
        whose norm is larger are scaled down to it."""
        self.networks = list(networks)
        self.initial_rate, self.max_norm = lr, max_norm
        weights = [weight for network in self.networks for weight in network.parameters()]
        super().__init__(weights, lr, betas=(beta1, beta2), weight_decay=weight_decay, fused=True)

    def scale_losses(self, scaler: GradScaler) -> None:
        """Scales losses from now on."""
        scaler.scale(torch.ones((), device=self._device()))  # it is there, even on a rank that never has a loss
        self.scaler = scaler

    def backward(self, objective: Tensor) -> None:
        (objective if self.scaler is None else self.scaler.scale(objective)).backward()

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """As torch's, which heeds the attribute ``found_inf``; counts what it refuses."""
        found = getattr(self, "found_inf", None)
        if found is not None:
            refused, in_a_row = self._counted()
            in_a_row.add_(1).mul_(found)
            refused.add_(in_a_row > (RETRIES if self.scaler else 0))
        if self.max_norm is not None:
            torch.nn.utils.clip_grad_norm_([w for group in self.param_groups for w in group["params"]], self.max_norm)
        of_adam: Any = torch.optim.Adam.step
        if getattr(of_adam, "hooked", False):  # since somebody made a plain Adam; hooks would be called there once more
            of_adam = of_adam.__wrapped__
        return of_adam(self, closure)

    @property
    def refused(self) -> Tensor:
        """() float, on the weights' device: steps refused so far, but for those that a loss scale explains."""
        return self._counted()[0]

    def _counted(self) -> tuple[Tensor, Tensor]:
        if self._counts is None:
            none = torch.zeros((), device=self._device())
            self._counts = none, none.clone()
        return self._counts

    def _device(self) -> torch.device:
        return self.param_groups[0]["params"][0].device


def step(optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """One step of optimizers that minimise one objective: all of them, or none if any of their gradients is not finite.

    Weights without a gradient stay where they are. Gradients are freed at once: those of one step would only stand
    beside the graphs of the next.
    """
    moving = [one for one in optimizers if _gradients(one)]
    scaler = getattr(optimizers[0], "scaler", None)
    if scaler is not None and moving:  # the first one's scales the objective
        if len(moving) > 1:  # it judges every optimizer by itself: one overflow is to be seen by all
            gradients = [gradient for optimizer in moving for gradient in _gradients(optimizer)]
            largest = torch.nn.utils.get_total_norm(gradients, torch.inf)
            for optimizer in moving:
                _gradients(optimizer)[0].masked_fill_(~largest.isfinite(), torch.inf)
        for optimizer in moving:
            scaler.unscale_(optimizer)
        for optimizer in moving:
            scaler.step(optimizer)
        scaler.update()
    elif moving:
        found = _not_finite([gradient for optimizer in moving for gradient in _gradients(optimizer)])
        for optimizer in moving:
            optimizer.found_inf = found  # type: ignore[attr-defined]
            try:
                optimizer.step()
            finally:
                del optimizer.found_inf  # type: ignore[attr-defined]
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)


def set_learning_rates(optimizers: Mapping[str, GuardedAdam], factor: float) -> dict[str, float]:
    """Sets every optimizer to its initial rate times ``factor``; returns the rates: "lr" of "G", "lr_D" of "D", ..."""
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = optimizer.initial_rate * factor
    return {"lr" if name == "G" else f"lr_{name}": one.initial_rate * factor for name, one in optimizers.items()}


def _gradients(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    weights = (weight for group in optimizer.param_groups for weight in group["params"])
    return [weight.grad for weight in weights if weight.grad is not None]


def _not_finite(gradients: list[Tensor]) -> Tensor:
    """() float32: 1 where the norm of all gradients is not finite, else 0."""
    return torch.nn.utils.get_total_norm(gradients).isfinite().logical_not().float()
