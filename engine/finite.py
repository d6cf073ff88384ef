"""Whether a run's losses and gradients are finite, and what happens when they are not (``--on_nan``)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.method import Method, is_finite, refused_updates
from engine.parallel import World
from engine.schedule import Progress
from engine.update import Losses
from instagan.structures.instances import UnpairedBatch

ON_NAN = ("stop", "skip", "rollback")
LIMITS = {"skip": 1000, "rollback": 10}
"""Most steps that are not finite, where ``--on_nan_limit`` says nothing."""
WARNINGS = 10
"""Most steps that are warned of one by one."""


class NotFiniteError(RuntimeError):
    """Training does not go on; the message names losses, step and pictures. All ranks raise it at the same step."""


@dataclass(frozen=True)
class Noted:
    """What a step gave: values of the losses, then refused updates by optimizer, perhaps still on their way here."""

    before: Progress
    losses: tuple[str, ...]
    optimizers: tuple[str, ...]
    values: Tensor
    copied: torch.cuda.Event | None
    pairs: Sequence[UnpairedBatch]  # of this rank


@dataclass(frozen=True)
class Finding:
    """A step that was not finite. before: where the run stood; refused: optimizers that refused an update; pairs: what
    this rank's batches were. All but the pairs are the same on all ranks."""

    before: Progress
    losses: dict[str, float]
    refused: tuple[str, ...]
    pairs: Sequence[UnpairedBatch]

    def words(self) -> list[str]:
        """What was not finite; empty where all was."""
        bad = [f"{name} ({value})" for name, value in self.losses.items() if not math.isfinite(value)]
        return bad + [f"the gradients of {name}" for name in self.refused]


class Aftermath:
    """What a run does about a step that was not finite, beside its model: here nothing. All ranks call it alike."""

    def keep(self, finding: Finding) -> str:
        """Keeps what the step can be made again from; half a sentence on where, empty if there is nothing to say."""
        return ""

    def go_back(self, now: Progress) -> str:
        """Puts the last checkpoint into the model, which goes on from ``now``; says which one that was."""
        raise NotImplementedError


class FiniteCheck:
    """Looks at the losses of every step, and at the updates that optimizers refused.

    On a GPU it looks at a step when the next one is under way, so that the host need not wait for the device. Losses
    and refused updates are the same on all ranks, and so is all that follows. What is found has harmed no weight:
    updates along gradients that are not finite are refused on the device (``engine/optimizer.py``).
    """

    def __init__(
        self,
        model: Method,
        world: World,
        on_nan: str = "stop",
        warn: Callable[[str], None] | None = None,
        limit: int | None = None,
        aftermath: Aftermath | None = None,
    ) -> None:
        """limit: the most steps that may be skipped or rolled back (default: ``LIMITS``)."""
        self.model, self.world, self.on_nan, self.warn = model, world, on_nan, warn
        self.limit = LIMITS.get(on_nan, 0) if limit is None else limit
        self.aftermath = aftermath or Aftermath()
        self.found = 0
        """Steps whose losses or gradients were not finite."""
        self._noted: Noted | None = None
        self._refused: dict[str, float] = {}

    def step(
        self, before: Progress, after: Progress, losses: Losses, pairs: Sequence[UnpairedBatch], now: bool = False
    ) -> None:
        """A step is done, ``before`` -> ``after``. now: look at it at once, because its result is to be kept.

        Raises ``NotFiniteError`` if something is not finite, unless that may be skipped or rolled back.
        """
        earlier, self._noted = self._noted, _note(before, losses, refused_updates(self.model), pairs)
        if earlier:
            self._judge(earlier, after)
        here = self._noted and self._noted.values.device.type == "cpu" and self._noted.copied is None
        if now or here:
            self.finish(after)

    def finish(self, after: Progress) -> None:
        """Looks at the step that is still to be looked at, if there is one. after: where the run stands."""
        noted, self._noted = self._noted, None
        if noted:
            self._judge(noted, after)

    def summary(self) -> str:
        """For the end of a run's last line; empty where all was finite."""
        what = "rolled back" if self.on_nan == "rollback" else "skipped"
        return f", {what} steps that were not finite: {self.found}" if self.found else ""

    def _judge(self, noted: Noted, now: Progress) -> None:
        finding = self._finding(noted)
        if not (bad := finding.words()):
            return
        self.found += 1
        for pool in self.model.pools.values():
            pool.forget_not_finite()
        own = [path for pair in noted.pairs for of_domain in pair.paths.values() for path in of_domain]
        paths = [path for of_rank in self.world.all_gather_object(own) for path in of_rank]
        found = f"step {noted.before.steps + 1} is not finite in {', '.join(bad)}, on the pictures {', '.join(paths)}"
        found += self.aftermath.keep(finding)
        sound = is_finite(self.model)
        if self.on_nan == "rollback" and self.found <= self.limit:
            self._roll_back(found, now)
        elif not sound:
            raise NotFiniteError(
                f"{found}, and neither are the weights; they are not saved: go on from an earlier checkpoint"
            )
        elif self.on_nan == "stop":
            raise NotFiniteError(
                f"{found}; the weights are, and are saved: look at these images, then go on with --continue_train, "
                "and with a lower --lr or --on_nan skip if it happens again"
            )
        elif self.found > self.limit:
            raise NotFiniteError(
                f"{found}; these are more such steps than --on_nan_limit {self.limit} allows; the weights are finite, "
                "and are saved: look at the images, then go on with --continue_train and a lower --lr"
            )
        else:
            self._tell(f"{found}; skipped")

    def _roll_back(self, found: str, now: Progress) -> None:
        """A later step, which was made with the weights that are given up, is forgotten with them."""
        self._tell(f"{found}; {self.aftermath.go_back(now)}, {self.found} of at most {self.limit} times")
        self._noted = None
        self._refused = {name: count.item() for name, count in refused_updates(self.model).items()}
        if not is_finite(self.model):
            raise NotFiniteError(f"{found}, and neither is the last checkpoint: go on from an earlier one")

    def _tell(self, what: str) -> None:
        if self.warn and self.found <= WARNINGS:
            self.warn(what + ("; more are only counted" if self.found == WARNINGS else ""))

    def _finding(self, noted: Noted) -> Finding:
        if noted.copied is not None:
            noted.copied.synchronize()
        values = noted.values.tolist()
        losses = dict(zip(noted.losses, values[: len(noted.losses)], strict=True))
        counts = dict(zip(noted.optimizers, values[len(noted.losses) :], strict=True))
        refused = tuple(name for name, count in counts.items() if count > self._refused.get(name, 0))
        self._refused = counts
        return Finding(noted.before, losses, refused, noted.pairs)


def _note(before: Progress, losses: Losses, refused: Losses, pairs: Sequence[UnpairedBatch]) -> Noted:
    """Starts the copy to the host; waits for nothing."""
    found = [value.detach().float() for value in (*losses.values(), *refused.values())]
    values = torch.stack(found) if found else torch.empty(0)
    copied = None
    if values.device.type == "cuda":
        on_host = torch.empty(values.shape, pin_memory=True).copy_(values, non_blocking=True)
        values, copied = on_host, torch.cuda.Event()
        copied.record()
    return Noted(before, tuple(losses), tuple(refused), values, copied, pairs)
