"""Adam that never takes a step along gradients that are not finite, and float16's loss scale."""

from __future__ import annotations

from collections.abc import Callable

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

    def __init__(self, weights: list[nn.Parameter], lr: float, beta1: float) -> None:
        super().__init__(weights, lr, betas=(beta1, 0.999), fused=True)

    def scale_losses(self, scaler: GradScaler) -> None:
        """Scales losses from now on."""
        scaler.scale(torch.ones((), device=self._device()))  # it is there, even on a rank that never has a loss
        self.scaler = scaler

    def backward(self, objective: Tensor) -> None:
        (objective if self.scaler is None else self.scaler.scale(objective)).backward()

    def descend(self) -> None:
        """One step, or none if a gradient is not finite. Weights without a gradient stay where they are."""
        gradients = [
            weight.grad for group in self.param_groups for weight in group["params"] if weight.grad is not None
        ]
        if not gradients:
            return
        if self.scaler is not None:
            self.scaler.unscale_(self)
            self.scaler.step(self)
            self.scaler.update()
            return
        self.found_inf = _not_finite(gradients)
        try:
            self.step()
        finally:
            del self.found_inf

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """As torch's, which heeds the attribute ``found_inf``; counts what it refuses."""
        found = getattr(self, "found_inf", None)
        if found is not None:
            refused, in_a_row = self._counted()
            in_a_row.add_(1).mul_(found)
            refused.add_(in_a_row > (RETRIES if self.scaler else 0))
        return super().step(closure)

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


def _not_finite(gradients: list[Tensor]) -> Tensor:
    """() float32: 1 where the norm of all gradients is not finite, else 0."""
    return torch.nn.utils.get_total_norm(gradients).isfinite().logical_not().float()
