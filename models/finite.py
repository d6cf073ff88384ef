"""Whether a run's losses and gradients are finite, and what happens when they are not (``--on_nan``)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from instagan.instances import UnpairedBatch
from models.base_model import Losses, TranslationModel
from models.parallel import World

ON_NAN = ("stop", "skip")
WARNINGS = 10
"""Most steps that are warned of one by one."""


class NotFiniteError(RuntimeError):
    """Training does not go on; the message names losses, step and pictures. All ranks raise it at the same step."""


@dataclass(frozen=True)
class Noted:
    """What a step gave: values of the losses, then refused updates by optimizer, perhaps still on their way here."""

    step: int
    losses: tuple[str, ...]
    optimizers: tuple[str, ...]
    values: Tensor
    copied: torch.cuda.Event | None
    paths: tuple[str, ...]  # pictures of this rank


class FiniteCheck:
    """Looks at the losses of every step, and at the updates that optimizers refused.

    On a GPU it looks at a step when the next one is under way, so that the host need not wait for the device. Losses
    and refused updates are the same on all ranks, and so is all that follows. What is found has harmed no weight:
    updates along gradients that are not finite are refused on the device (``models/optimizer.py``).
    """

    def __init__(
        self, model: TranslationModel, world: World, on_nan: str = "stop", warn: Callable[[str], None] | None = None
    ) -> None:
        self.model, self.world, self.skip, self.warn = model, world, on_nan == "skip", warn
        self.skipped = 0
        """Steps whose losses or gradients were not finite."""
        self._noted: Noted | None = None
        self._refused: dict[str, float] = {}

    def step(self, step: int, losses: Losses, pairs: Sequence[UnpairedBatch], now: bool = False) -> None:
        """A step (counted from 1) is done. now: look at it at once, because its result is to be kept.

        Raises ``NotFiniteError`` if something is not finite, unless it is to be skipped and the weights are finite.
        """
        earlier, self._noted = self._noted, _note(step, losses, self.model.refused(), pairs)
        if earlier:
            self._judge(earlier)
        here = self._noted.values.device.type == "cpu" and self._noted.copied is None
        if now or here:
            self.finish()

    def finish(self) -> None:
        """Looks at the step that is still to be looked at, if there is one."""
        noted, self._noted = self._noted, None
        if noted:
            self._judge(noted)

    def summary(self) -> str:
        """For the end of a run's last line; empty where nothing was skipped."""
        return f", skipped steps that were not finite: {self.skipped}" if self.skipped else ""

    def _judge(self, noted: Noted) -> None:
        bad = self._not_finite(noted)
        if not bad:
            return
        self.skipped += 1
        self.model.forget_not_finite()
        paths = [path for of_rank in self.world.tell_all(noted.paths) for path in of_rank]
        found = f"step {noted.step} is not finite in {', '.join(bad)}, on the pictures {', '.join(paths)}"
        if not self.model.is_finite():
            raise NotFiniteError(
                f"{found}, and neither are the weights; they are not saved: go on from an earlier checkpoint"
            )
        if not self.skip:
            raise NotFiniteError(
                f"{found}; the weights are, and are saved: look at these pictures, then go on with --continue_train, "
                "and with a lower --lr or --on_nan skip if it happens again"
            )
        if self.warn and self.skipped <= WARNINGS:
            self.warn(f"{found}; skipped" + ("; more are only counted" if self.skipped == WARNINGS else ""))

    def _not_finite(self, noted: Noted) -> list[str]:
        """What is not finite, in words."""
        if noted.copied is not None:
            noted.copied.synchronize()
        values = noted.values.tolist()
        counts = dict(zip(noted.optimizers, values[len(noted.losses) :], strict=True))
        bad = [
            f"{name} ({value})"
            for name, value in zip(noted.losses, values[: len(noted.losses)], strict=True)
            if not math.isfinite(value)
        ]
        bad += [f"the gradients of {name}" for name, count in counts.items() if count > self._refused.get(name, 0)]
        self._refused = counts
        return bad


def _note(step: int, losses: Losses, refused: Losses, pairs: Sequence[UnpairedBatch]) -> Noted:
    """Starts the copy to the host; waits for nothing."""
    paths = tuple(path for pair in pairs for path in (*pair.a_paths, *pair.b_paths))
    found = [value.detach().float() for value in (*losses.values(), *refused.values())]
    values = torch.stack(found) if found else torch.empty(0)
    copied = None
    if values.device.type == "cuda":
        on_host = torch.empty(values.shape, pin_memory=True).copy_(values, non_blocking=True)
        values, copied = on_host, torch.cuda.Event()
        copied.record()
    return Noted(step, tuple(losses), tuple(refused), values, copied, paths)
