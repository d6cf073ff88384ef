"""A training whose steps and processor time are counted, and which goes on from a file as if it had never stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from engine.method import state_of
from engine.run import ReadyRun
from engine.run_folder import restore
from engine.update import Update
from instagan.errors import InputError
from instagan.io.sealed import save_sealed
from instagan.io.tensor_files import read_checkpoint
from instagan.io.writing import write_whole

LAST_LOSSES = 50
"""Steps whose losses are averaged."""


class MeasuredTraining:
    """Steps of a run, epoch after epoch without an end, at the learning rates that it begins with.

    seconds   of processor time, in training alone: loading included, looking at the model not
    notes     what the caller keeps with it, in plain values
    """

    def __init__(self, run: ReadyRun, file: Path, clock: Callable[[], float] | None = None) -> None:
        """file: where it is kept; goes on from there if it is there. clock: what counts the seconds, processor time.

        Raises ``InputError`` where it cannot go on.
        """
        self.run, self.file, self.clock = run, file, clock or time.process_time
        self.seconds = 0.0
        self.losses: list[dict[str, float]] = []
        self.notes: dict[str, Any] = {}
        self.progress = run.start
        if file.exists():
            state = read_checkpoint(file)
            self.progress = restore(state | {"file": str(file)}, run.model)
            self.seconds, self.losses, self.notes = (state[name] for name in ("seconds", "losses", "notes"))
        self._updates = self._endless()

    @property
    def steps(self) -> int:
        return self.progress.steps

    def step(self) -> None:
        """Raises ``InputError`` if a loss is not finite."""
        started = self.clock()
        update = next(self._updates)
        self.run.step(update)
        losses = {name: loss.item() for name, loss in update.losses().items()}
        self.seconds += self.clock() - started
        self.progress = self.progress.after_batch(update.pair_count)
        self.losses = [*self.losses[1 - LAST_LOSSES :], losses]
        if wrong := [name for name, loss in losses.items() if not abs(loss) < float("inf")]:
            raise InputError(f"the loss {wrong[0]} is not finite; lower --lr ({self.steps} steps were taken)")

    def mean_losses(self) -> dict[str, float]:
        """Of each loss over the last steps."""
        names = dict.fromkeys(name for losses in self.losses for name in losses)
        found = {name: [losses[name] for losses in self.losses if name in losses] for name in names}
        return {name: round(sum(values) / len(values), 4) for name, values in found.items()}

    def keep(self) -> None:
        """Writes all that going on depends on: the whole file or none of it. Raises ``InputError`` if it cannot."""
        state = {
            "progress": asdict(self.progress),
            "random": {"torch": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()},
            "seconds": self.seconds,
            "losses": self.losses,
            "notes": self.notes,
            **state_of(self.run.model),
        }
        write_whole(self.file, lambda scratch: save_sealed(state, scratch))

    def _endless(self) -> Iterator[Update]:
        """What train.py would make its steps on, wherever the run stands."""
        while True:
            for update in self.run.updates(self.progress):
                yield update.to(self.run.device)
            self.progress = self.progress.next_epoch()
