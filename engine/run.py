"""A run that is ready to train: what the training loop works with on every rank."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

import torch

from engine.method import Method
from engine.parallel import World
from engine.rounds import updates
from engine.run_folder import RunFolder
from engine.schedule import Progress, due
from engine.update import Update
from instagan.errors import InputError
from instagan.structures.instances import UnpairedBatch

Tell = Callable[[Progress, dict[str, float], str, float], None]
"""Is told the metrics of a moment, a remark for the user, and how many seconds finding them took."""


class ResolvedOptions(Protocol):
    """The options of a run after all checks; ``changed`` names those that differ from their defaults."""

    values: Namespace
    changed: Collection[str]

    def table(self) -> str: ...


class Loader(Protocol):
    """Batches of an epoch, for one rank. pictures: pairs of an epoch on all ranks."""

    pictures: int

    def steps(self, epoch: int, done: int) -> Iterable[Sequence[UnpairedBatch]]: ...


class Evaluation(Protocol):
    """Finds metrics on the way, tells them, and keeps the best checkpoint."""

    def run(self, model: Method, device: torch.device, folder: RunFolder, now: Progress, tell: Tell) -> None: ...


@dataclass(frozen=True)
class ReadyRun:
    """What the training loop works with. ``summaries``: a line on each domain. ``start``: where the run goes on,
    ``origin``: the checkpoint from which, None at a run's beginning. ``notes``: what was found when it was opened.
    ``evaluation``: what rank 0 evaluates on the way.

    A context, at the end of which the run's folder is free for others."""

    world: World
    resolved: ResolvedOptions
    device: torch.device
    model: Method
    loader: Loader
    folder: RunFolder
    summaries: list[str]
    start: Progress
    origin: Path | None
    notes: tuple[str, ...]
    unread: Unread
    evaluation: Evaluation | None

    def __enter__(self) -> ReadyRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.folder.lock.release()

    @property
    def about(self) -> tuple[Collection[str], Path, Progress, int, int]:
        """What trackers want to know: changed options, folder, where the run starts, pairs of an epoch, ranks."""
        return self.resolved.changed, self.folder.path, self.start, self.loader.pictures, self.world.size

    def updates(
        self, progress: Progress, wish: Callable[[], int] = lambda: 0, warn: Callable[[str], None] | None = None
    ) -> Iterator[Update]:
        """The updates still to come in an epoch, see ``engine.rounds.updates``; batches are on the CPU.

        warn: is told once of each picture that ``--skip_bad`` leaves out. Raises ``InputError`` where they are many.
        """
        steps = self.loader.steps(progress.epoch, progress.in_epoch)
        seed = self.resolved.values.seed
        return updates(self.world, steps, wish, lambda new: self.unread.tell(new, warn), progress, seed)

    def step(self, update: Update) -> None:
        """A training step on an update whose batches are on the device, and with ``--ema`` the averages after it."""
        self.model.training_step(update)
        if self.model.averages:
            self.model.averages.update()

    def evaluate(self, before: Progress, now: Progress, tell: Tell | None) -> None:
        """The evaluation that is due between two moments, if any: by rank 0, which tells; the others wait for it."""
        if due(self.resolved.values.eval_freq, before, now):
            with self.world.raising_together():
                if self.evaluation and tell:
                    self.evaluation.run(self.model, self.device, self.folder, now, tell)


class Unread:
    """Pictures that ``--skip_bad`` has left out since the start: each is told of once, and there may be so many."""

    def __init__(self, limit: int) -> None:
        self.limit, self.known = limit, set[str]()

    def tell(self, sentences: Sequence[str], warn: Callable[[str], None] | None) -> None:
        """The same on all ranks. Raises ``InputError`` with the sentence that is one too many."""
        for sentence in sentences:
            if sentence not in self.known:
                self.known.add(sentence)
                if len(self.known) > self.limit:
                    raise InputError(
                        f"{sentence}; these are more than the {self.limit} images that --skip_bad_limit allows to "
                        "leave out: fix them, then go on with --continue_train"
                    )
                if warn:
                    warn(f"{sentence}; left out, {len(self.known)} of at most {self.limit}")
