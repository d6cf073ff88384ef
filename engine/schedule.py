"""Where a run stands, and the learning rate as a pure function of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

POLICIES = ("lambda", "step", "cosine", "halve")


@dataclass(frozen=True)
class Progress:
    """Where a run stands: everything that data and schedules depend on besides the seed."""

    epoch: int = 1
    """The epoch in progress, counted from 1."""
    in_epoch: int = 0
    """Pictures (pairs) of this epoch that are done."""
    steps: int = 0
    """Training steps done in all epochs."""
    pictures: int = 0
    """Pictures (pairs) seen in all epochs; the published flags that end in _freq count these."""

    def after_batch(self, pictures: int) -> Progress:
        return Progress(self.epoch, self.in_epoch + pictures, self.steps + 1, self.pictures + pictures)

    def next_epoch(self) -> Progress:
        return Progress(self.epoch + 1, 0, self.steps, self.pictures)


def learning_rate_factor(
    policy: str, progress: Progress, niter: int, niter_decay: int, decay_epochs: int, halving_steps: int
) -> float:
    """Factor in [0, 1] on the initial learning rate of the next update.

    ``lambda``: 1 for ``niter`` epochs, then linearly towards 0 over ``niter_decay`` (never quite 0 in the last one).
    ``step``: a tenth after every ``decay_epochs`` epochs. ``cosine``: half a cosine over all epochs. ``halve``: half
    after every ``halving_steps`` updates.
    """
    epoch = progress.epoch
    if policy == "lambda":
        return 1 - max(0, epoch - niter) / (niter_decay + 1)
    if policy == "step":
        return float(0.1 ** ((epoch - 1) // decay_epochs))
    if policy == "cosine":
        return (1 + math.cos(math.pi * (epoch - 1) / (niter + niter_decay))) / 2
    if policy == "halve":
        return float(0.5 ** (progress.steps // halving_steps))
    raise ValueError(f"learning rate policy must be one of {', '.join(POLICIES)}, not {policy!r}")


def due(frequency: int, before: Progress, now: Progress) -> bool:
    """Whether a multiple of ``frequency`` pictures was reached between two moments, whatever the batch size."""
    return frequency > 0 and now.pictures // frequency > before.pictures // frequency

